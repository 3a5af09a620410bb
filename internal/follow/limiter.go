package follow

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxConcurrentPolls is how many polls of one Viewer may be under way at a time: one that
// hangs must not hold up all others, and more would only wait in the Viewer, which
// does one thing at a time.
const maxConcurrentPolls = 2

// activeLead is how much later a poll of an active run may come than that of a quiet one,
// and yet be first.
const activeLead = 5 * time.Second

// limiter is the poll scheduler of one Viewer: all polls of all its followed runs
// pass it. A run enters again only when its interval has passed. When the share of the
// Viewer is too small for all, the throttle makes them wait: they go in the order of
// coming, but for the lead of runs that are active.
type limiter struct {
	throttle Throttle // nil: no share to keep
	journals int      // guarded by Hub.mu

	mu      sync.Mutex // guards what follows
	running int
	waiting []waiter
}

// waiter waits for its turn.
type waiter struct {
	since time.Time     // it goes before those that came later
	turn  chan struct{} // closed when its turn has come
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
	w := waiter{since: time.Now(), turn: make(chan struct{})}
	if isActive {
		w.since = w.since.Add(-activeLead)
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.next()
	l.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting, w)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
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
	for l.running < maxConcurrentPolls && len(l.waiting) > 0 {
		first := 0
		for i := range l.waiting {
			if l.waiting[i].since.Before(l.waiting[first].since) {
				first = i
			}
		}
		close(l.waiting[first].turn)
		l.waiting = slices.Delete(l.waiting, first, first+1)
		l.running++
	}
}
