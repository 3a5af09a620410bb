package service

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// errStreamDrained ends the streams of a server that shuts down.
var errStreamDrained = &apierr.Error{
	Code:    codes.Unavailable,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING,
	Message: "this server is shutting down; call another one, or this one after its restart, with the last resume_token where the stream has one",
}

// drainSignal tells all streams that the server shuts down, without a goroutine for
// each of them.
type drainSignal struct {
	ctx context.Context //nolint:containedctx // it is over when the drain begins, and carries nothing
}

// newDrainSignal watches the channel that is closed when the drain begins; nil means
// never. Its one goroutine ends with that.
func newDrainSignal(begins <-chan struct{}) *drainSignal {
	if begins == nil {
		return &drainSignal{ctx: context.Background()}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-begins
		cancel(errStreamDrained)
	}()
	return &drainSignal{ctx: ctx}
}

// withDrain returns a context of a stream that also ends, by errStreamDrained, with the
// drain. The caller calls stop.
func (d *drainSignal) withDrain(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	unregister := context.AfterFunc(d.ctx, func() { cancel(errStreamDrained) })
	return ctx, func() {
		unregister()
		cancel(nil)
	}
}

// streamError makes the error of a stream from that of its work: what its end
// has brought about counts, and not what that has broken.
func streamError(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), errStreamDrained), errors.Is(err, runlog.ErrHubClosed):
		return errStreamDrained
	case ctx.Err() == nil:
		return err
	}
	if e, ok := errors.AsType[*fleet.EndedError](context.Cause(ctx)); ok {
		return sessionEndedError(e.Name, e)
	}
	return ctx.Err()
}
