package follow

import (
	"context"
	"slices"
	"sync"
)

// maxConcurrentPolls is how many polls of one Viewer may be under way at a time: one that
// hangs must not hold up all others, and more would only wait in the Viewer, which
// does one thing at a time.
const maxConcurrentPolls = 2

// limiter is the poll scheduler of one Viewer: all polls of all its followed runs
// pass it. A run enters again only when its interval has passed. When the share of the
// Viewer is too small for all, the throttle makes them wait: runs that are active come
// first, for half of the polls at most, and in each half they go in the order of coming.
type limiter struct {
	throttle Throttle // nil: no share to keep
	journals int      // guarded by Hub.mu

	mu      sync.Mutex // guards what follows
	running int
	waiting [2][]chan struct{} // quiet runs, and active ones; closed when its turn has come
	last    int                // which of the two had the last turn
}

func newLimiter(throttle Throttle) *limiter { return &limiter{throttle: throttle} }

// do runs work when it is its turn. The error is the context's, or that of work.
func (l *limiter) do(ctx context.Context, key string, isActive bool, work func(context.Context) error) error {
	if err := l.acquire(ctx, isActive); err != nil {
		return err
	}
	defer l.release()
	if l.throttle == nil {
		return work(ctx)
	}
	return l.throttle.Background(ctx, key, work)
}

// acquire waits for a turn.
func (l *limiter) acquire(ctx context.Context, isActive bool) error {
	class, turn := 0, make(chan struct{})
	if isActive {
		class = 1
	}
	l.mu.Lock()
	l.waiting[class] = append(l.waiting[class], turn)
	l.next()
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting[class], turn)
	if i >= 0 {
		l.waiting[class] = slices.Delete(l.waiting[class], i, i+1)
	}
	l.mu.Unlock()
	if i < 0 { // it has its turn, and gives it to the next one
		l.release()
	}
	return ctx.Err()
}

// release ends a turn.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.next()
}

// next gives out the turns that there are; called with mu held.
func (l *limiter) next() {
	for l.running < maxConcurrentPolls {
		class := 1 - l.last
		if len(l.waiting[class]) == 0 {
			class = l.last
		}
		if len(l.waiting[class]) == 0 {
			return
		}
		close(l.waiting[class][0])
		l.waiting[class] = slices.Delete(l.waiting[class], 0, 1)
		l.running++
		l.last = class
	}
}
