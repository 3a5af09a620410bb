// Package drain ends the streams of a server that is shutting down.
package drain

import (
	"context"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// ErrDraining is the cause with which streams end when the server shuts down.
var ErrDraining = &apierr.Error{
	Code:    codes.Unavailable,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING,
	Message: "this server is shutting down; call another one, or this one after its restart, with the last resume_token where the stream has one",
}

// Signal notifies all streams that the server is shutting down, without a goroutine per
// stream.
type Signal struct {
	ctx context.Context //nolint:containedctx // done when the drain begins; carries no values
}

// New returns a signal for the channel that is closed when the drain begins; nil means
// never. Its goroutine ends with the drain.
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

// WithDrain returns a context that is also cancelled, with the cause ErrDraining, when
// the drain begins. The caller must call stop.
func (d *Signal) WithDrain(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	unregister := context.AfterFunc(d.ctx, func() { cancel(ErrDraining) })
	return ctx, func() {
		unregister()
		cancel(nil)
	}
}
