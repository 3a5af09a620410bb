package restclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/runicorn-grpc/runicorn-grpc/internal/flight"
)

// sharedReads are the reads in flight, which identical reads join: a Viewer continues with
// canceled requests, so a second identical one would cost it twice.
type sharedReads = flight.Group[string, any]

// shareRead returns the result of read for a key, joining an identical read in flight. The
// value is shared and must not be changed. All reads of one key must have the same type.
// The capability is for the error of a caller that leaves.
func shareRead[T any](ctx context.Context, c *Client, name Capability, key string, read func(context.Context) (*T, error)) (*T, error) {
	// Foreground reads do not join background reads, because they must not wait behind
	// them.
	key = fmt.Sprintf("%t %s", isBackground(ctx), key)
	v, err := c.reads.Do(ctx, key, func(ctx context.Context) (any, error) { return read(ctx) })
	if err == nil {
		return v.(*T), nil //nolint:forcetypeassert,errcheck // the key determines the type
	}
	if _, typed := errors.AsType[*Error](err); typed || ctx.Err() == nil {
		return nil, err
	}
	return nil, c.newError(name, KindCanceled, ctx.Err())
}

// shareGET shares a GET by its URL. Invalid ids are refused first.
func shareGET[T any](ctx context.Context, c *Client, q call, read func(context.Context) (*T, error)) (*T, error) {
	target, err := c.url(routes[q.cap], q)
	if err != nil {
		return nil, err
	}
	return shareRead(ctx, c, q.cap, target, read)
}
