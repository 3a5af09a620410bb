package runlog

import (
	"context"

	"golang.org/x/sync/semaphore"
)

// laneWidth is how many looks at one Viewer may be under way at a time: one that
// hangs must not hold up all others, and more would only wait in the Viewer, which
// does one thing at a time.
const laneWidth = 2

// lane is the poll scheduler of one Viewer: all looks at all its followed runs
// pass it. A run enters again only when its interval has passed, and who waits
// goes in the order of coming, so that runs take turns when the share of the
// Viewer is too small for all; then the pacer makes them wait.
type lane struct {
	pacer Pacer // nil: no share to keep
	slots *semaphore.Weighted
	users int // journals; guarded by Hub.mu
}

func newLane(pacer Pacer) *lane { return &lane{pacer: pacer, slots: semaphore.NewWeighted(laneWidth)} }

// do runs work when it is its turn. The error is the context's, or that of work.
func (l *lane) do(ctx context.Context, key string, work func(context.Context) error) error {
	if err := l.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer l.slots.Release(1)
	if l.pacer == nil {
		return work(ctx)
	}
	return l.pacer.Background(ctx, key, work)
}
