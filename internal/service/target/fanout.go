package target

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
)

// maxMargin is the maximum part of a caller's deadline that is reserved for sending a
// response without the Viewers that were too slow.
const maxMargin = time.Second

// result is the outcome of one Viewer.
type result[T any] struct {
	Viewer *fleet.Viewer
	Value  T
}

// Results holds the values of the Viewers that succeeded, in their order, and the Viewers
// that failed.
type Results[T any] struct {
	Succeeded   []result[T]
	Unreachable []*runicornapiv1.UnreachableViewer
}

// TotalSize returns the number of items over all pages, nil if a Viewer did not answer.
func TotalSize(n int, unreachable []*runicornapiv1.UnreachableViewer) *int32 {
	if len(unreachable) > 0 {
		return nil
	}
	return new(convert.Clamp32(int64(n)))
}

// FanOut calls ask for the Viewers that the viewer field of a list selects, concurrently.
// The failure of a single selected Viewer fails the call. Of all Viewers, those that fail
// are reported as unreachable, and the call fails only if every one fails. With several
// Viewers, those that do not answer in time, or are known not to answer, do not delay the
// call.
func FanOut[T any](ctx context.Context, r Resolver, viewer string, ask func(context.Context, *fleet.Viewer) (T, error)) (*Results[T], error) {
	start := time.Now()
	viewers, err := r.Viewers(ctx, viewer)
	if err != nil {
		return nil, err
	}
	if viewer != AllViewers {
		value, err := ask(ctx, viewers[0])
		if err != nil {
			return nil, err
		}
		return &Results[T]{Succeeded: []result[T]{{viewers[0], value}}}, nil
	}
	values, errs := ForEachViewer(ctx, viewers, func(ctx context.Context, v *fleet.Viewer) (T, error) {
		if len(viewers) == 1 {
			return ask(ctx, v)
		}
		return fleet.AskWithin(ctx, v, r.Fleet.FanOutTimeout()-time.Since(start), ask)
	})
	g := &Results[T]{}
	for i, v := range viewers {
		if errs[i] == nil {
			g.Succeeded = append(g.Succeeded, result[T]{v, values[i]})
			continue
		}
		g.Unreachable = append(g.Unreachable, &runicornapiv1.UnreachableViewer{
			Viewer: v.Name, Error: errmap.Status(ctx, errs[i]).Proto(),
		})
	}
	if len(g.Succeeded) == 0 {
		return nil, AllFailed(ctx, errs)
	}
	return g, nil
}

// ForEachViewer calls ask for each Viewer concurrently. It stops waiting for slow ones
// early enough to respond without them.
func ForEachViewer[T any](ctx context.Context, viewers []*fleet.Viewer, ask func(context.Context, *fleet.Viewer) (T, error)) ([]T, []error) {
	values, errs := make([]T, len(viewers)), make([]error, len(viewers))
	timed, cancel := WithMargin(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for i, v := range viewers {
		wg.Go(func() {
			values[i], errs[i] = ask(timed, v)
			errs[i] = TimeoutError(ctx, v.Name, errs[i])
		})
	}
	wg.Wait()
	return values, errs
}

type marginKey struct{}

// ReserveMargin reserves a part of the time that a call has, for its response. It is called
// once, at the start of the call: a call with several slow stages has the same margin after
// each of them.
func ReserveMargin(ctx context.Context) context.Context {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, marginKey{}, marginBefore(deadline))
}

// marginBefore returns the margin of a call that begins now.
func marginBefore(deadline time.Time) time.Duration { return min(time.Until(deadline)/10, maxMargin) }

// WithMargin returns a context that ends shortly before the caller's deadline. A context that
// is derived from it has no further margin.
func WithMargin(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	margin, ok := ctx.Value(marginKey{}).(time.Duration)
	if !ok {
		margin = marginBefore(deadline)
	}
	return context.WithDeadline(context.WithValue(ctx, marginKey{}, time.Duration(0)), deadline.Add(-margin))
}

// TimeoutError is the error of a Viewer that did not answer before the early deadline of
// WithMargin.
func TimeoutError(ctx context.Context, viewer string, err error) error {
	if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		return err
	}
	return &apierr.Error{
		Code: codes.DeadlineExceeded, Reason: runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_TIMEOUT,
		Message:  fmt.Sprintf("viewer %s: no answer in time", viewer),
		Metadata: map[string]string{"viewer": viewer}, Cause: err,
	}
}

// AllFailed is the error of a list for which every Viewer failed: the caller's own
// deadline, or UNAVAILABLE with each Viewer's error.
func AllFailed(ctx context.Context, errs []error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	messages := []string{"no viewer answered"}
	for _, err := range errs {
		messages = append(messages, errmap.APIError(ctx, err).Message)
	}
	return apierr.Unreachable(AllViewers, strings.Join(messages, "; "), errors.Join(errs...))
}
