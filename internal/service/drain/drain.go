// Package drain ends the streams of a server that shuts down.
package drain

import (
	"context"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// ErrDraining ends the streams of a server that shuts down.
var ErrDraining = &apierr.Error{
	Code:    codes.Unavailable,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING,
	Message: "this server is shutting down; call another one, or this one after its restart, with the last resume_token where the stream has one",
}

// Signal tells all streams that the server shuts down, without a goroutine for
// each of them.
type Signal struct {
	ctx context.Context //nolint:containedctx // it is over when the drain begins, and carries nothing
}

// New watches the channel that is closed when the drain begins; nil means
// never. Its one goroutine ends with that.
func New(begins <-chan struct{}) *Signal {
	if begins == nil {
		return &Signal{ctx: context.Background()}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-begins
		cancel(ErrDraining)
	}()
	return &Signal{ctx: ctx}
}

// WithDrain returns a context of a stream that also ends, by ErrDraining, with the
// drain. The caller calls stop.
func (d *Signal) WithDrain(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	unregister := context.AfterFunc(d.ctx, func() { cancel(ErrDraining) })
	return ctx, func() {
		unregister()
		cancel(nil)
	}
}
