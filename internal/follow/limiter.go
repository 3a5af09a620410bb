package follow

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// maxConcurrentPolls is how many polls of one Viewer may be under way at a time: one that
// hangs must not hold up all others, and more would only wait in the Viewer, which
// does one thing at a time.
const maxConcurrentPolls = 2

// limiter is the poll scheduler of one Viewer: all polls of all its followed runs
// pass it. A run enters again only when its interval has passed, and who waits
// goes in the order of coming, so that runs take turns when the share of the
// Viewer is too small for all; then the throttle makes them wait.
type limiter struct {
	throttle Throttle // nil: no share to keep
	slots    *semaphore.Weighted
	journals int // journals; guarded by Hub.mu
}

func newLimiter(throttle Throttle) *limiter {
	return &limiter{throttle: throttle, slots: semaphore.NewWeighted(maxConcurrentPolls)}
}

// do runs work when a slot is free. The error is the context's, or that of work.
func (l *limiter) do(ctx context.Context, key string, work func(context.Context) error) error {
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.slots.Release(1)
	if l.throttle == nil {
		return work(ctx)
	}
	return l.throttle.Background(ctx, key, work)
}
