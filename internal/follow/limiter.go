package follow

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxConcurrentPolls is the maximum number of concurrent polls of one Viewer: one that
// hangs must not block all others, and more would only wait in the Viewer, which does one
// thing at a time.
const maxConcurrentPolls = 2

// activeLead is how much later than an idle run an active run may queue and still be polled
// first.
const activeLead = 5 * time.Second

// limiter schedules all polls of one Viewer. A run queues only when its interval has
// passed. If the Viewer's share is too small for all, the throttle makes them wait; the
// order is FIFO, but active runs have a lead.
type limiter struct {
	throttle Throttle // nil: no share to enforce
	journals int      // guarded by Hub.mu

	mu      sync.Mutex // guards the fields below
	running int
	waiting []waiter
}

// waiter waits for a slot.
type waiter struct {
	since time.Time     // it goes before waiters that came later
	turn  chan struct{} // closed when it has a slot
}

func newLimiter(throttle Throttle) *limiter { return &limiter{throttle: throttle} }

// do runs work when a slot is free. The error is the context's or that of work.
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

// acquire waits for a slot.
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
	if i < 0 { // it has a slot, and passes it on
		l.release()
	}
	return ctx.Err()
}

// release releases a slot.
func (l *limiter) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running--
	l.next()
}

// next grants the free slots. l.mu must be held.
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
