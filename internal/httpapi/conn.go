package httpapi

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// PeerHeader is the metadata in which the HTTP side tells its own gRPC server who calls.
const PeerHeader = "runicorn-http-peer"

// maxHeaderValue bounds a header that becomes metadata.
const maxHeaderValue = 4 << 10

// conn is the connection to our own gRPC server, with bounds: all of HTTP is one
// connection, whose calls would else wait for each other without an end.
type conn struct {
	grpc.ClientConnInterface
	streams, calls chan struct{} // hold an element for each open one
}

// NewConn bounds how many streams and how many unary calls HTTP callers, those of /api
// too, may have open at a time. What is beyond is refused.
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

// NewStream opens a stream, which counts until its context ends.
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

// enter takes a place, or refuses the call.
func enter(places chan struct{}, limit, what string) error {
	select {
	case places <- struct{}{}:
		return nil
	default:
		err := apierr.OverLimit(limit, "%d %s are open over HTTP, which is the most; one over gRPC costs less", cap(places), what)
		err.Details = append(err.Details, apierr.RetryInfo(streamRetry))
		return err
	}
}

// outgoing adds the caller, and refuses headers that cannot be metadata.
func outgoing(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromOutgoingContext(ctx)
	for name, values := range md {
		for _, value := range values {
			if len(value) > maxHeaderValue || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) {
				return nil, apierr.Invalid(name, "is longer than %d bytes, or has a character that no header may have", maxHeaderValue)
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
