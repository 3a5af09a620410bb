package httpapi

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// PeerHeader is the metadata key in which the HTTP side passes the address of its caller
// to the gRPC server.
const PeerHeader = "runicorn-http-peer"

// maxHeaderValue is the maximum length in bytes of a header that becomes metadata.
const maxHeaderValue = 4 << 10

// conn limits the calls on the in-memory connection. All HTTP callers share that
// connection, and without limits their calls would wait for each other indefinitely.
type conn struct {
	grpc.ClientConnInterface
	streams, calls chan struct{} // hold an element per open call
}

// NewConn limits how many streams and unary calls HTTP callers, including those of /api,
// may have open at the same time. Calls beyond that are refused.
func NewConn(to grpc.ClientConnInterface, streams, calls int) grpc.ClientConnInterface {
	return &conn{ClientConnInterface: to, streams: make(chan struct{}, streams), calls: make(chan struct{}, calls)}
}

// Invoke makes a unary call.
func (c *conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	ctx, err := outgoing(ctx)
	if err != nil {
		return err
	}
	if err := enter(c.calls, "http_calls", "calls"); err != nil {
		return err
	}
	defer func() { <-c.calls }()
	return c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...)
}

// NewStream opens a stream, which is counted until its context ends.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, err := outgoing(ctx)
	if err != nil {
		return nil, err
	}
	if err := enter(c.streams, "http_streams", "streams"); err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { <-c.streams })
	return c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
}

// enter takes a slot, or refuses the call.
func enter(places chan struct{}, limit, what string) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
		err := apierr.OverLimit(limit, "%d %s are open over HTTP, which is the maximum; use gRPC instead", cap(places), what)
		err.Details = append(err.Details, apierr.RetryInfo(streamRetry))
		return err
	}
}

// outgoing adds the caller's address, and refuses headers that cannot become metadata.
func outgoing(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	for name, values := range md {
		for _, value := range values {
			if len(value) > maxHeaderValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return nil, apierr.Invalid(name, "is longer than %d bytes, or has a character that is not allowed in a header", maxHeaderValue)
			}
		}
	}
	if peer, ok := ctx.Value(peerKey{}).(string); ok {
		ctx = metadata.AppendToOutgoingContext(ctx, PeerHeader, peer)
	}
	return ctx, nil
}

// peerKey is the key of the address of the caller of a request.
type peerKey struct{}
