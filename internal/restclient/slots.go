package restclient

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The maximum numbers of concurrent calls to a Viewer. Light and heavy calls share slots, of
// which heavy calls use at most some; streams have separate slots, so that slow downloads
// cannot starve other calls.
const (
	sharedSlots = 6
	heavySlots  = 2
	streamSlots = 8
)

// slotLimiter admits calls. Background calls may take all shared slots but one. SSH has one
// separate slot; WebSockets need none. Foreground calls are admitted first, and equal calls
// in FIFO order. Yielding calls are foreground calls too, but while other light or heavy
// foreground calls wait or run, only one of them is admitted at a time, after maxYield.
type slotLimiter struct {
	mu                   sync.Mutex
	free, heavy, streams int
	ssh                  int
	background           int // slots that background calls may still take
	preferred            int // light and heavy foreground calls that do not yield, waiting or running
	yielding             int // yielding calls that run
	foreQueue, backQueue []*waiter
}

type waiter struct {
	class      class
	background bool
	yields     bool
	patient    bool          // yields, and maxYield has not passed
	admitted   chan struct{} // closed when admitted
}

// maxYield is the maximum time that a yielding call waits for others, which may never end.
const maxYield = 250 * time.Millisecond

type yieldKey struct{}

// Yielding marks foreground calls that are many: each starts only when no other light or
// heavy foreground call of this client is in flight, or after maxYield and alone. A Viewer
// handles one request at a time, so other calls then wait only for those that have started.
// Waited returns the total time that the marked calls have waited for their slots.
func Yielding(ctx context.Context) (_ context.Context, waited func() time.Duration) {
	total := new(atomic.Int64)
	return context.WithValue(ctx, yieldKey{}, total), func() time.Duration { return time.Duration(total.Load()) }
}

func newSlotLimiter(shared, heavy, streams int) *slotLimiter {
	return &slotLimiter{free: shared, heavy: heavy, streams: streams, ssh: 1, background: max(shared-1, 1)}
}

// acquire waits for a slot and returns the function that releases it, to be called once.
func (g *slotLimiter) acquire(ctx context.Context, c class, background bool) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &waiter{class: c, background: background, admitted: make(chan struct{})}
	if waited, ok := ctx.Value(yieldKey{}).(*atomic.Int64); ok {
		w.yields, w.patient = true, true
		start, timer := time.Now(), time.AfterFunc(maxYield, func() { g.stopYielding(w) })
		defer func() {
			timer.Stop()
			waited.Add(int64(time.Since(start)))
		}()
	}
	isPreferred := !background && !w.yields && (c == light || c == heavy)
	g.mu.Lock()
	if isPreferred {
		g.preferred++
	}
	if background {
		g.backQueue = append(g.backQueue, w)
	} else {
		g.foreQueue = append(g.foreQueue, w)
	}
	g.admit()
	g.mu.Unlock()
	select {
	case <-w.admitted:
	case <-ctx.Done():
		if g.cancelWait(w) {
			g.endPreferred(isPreferred)
			return nil, ctx.Err()
		}
	}
	return sync.OnceFunc(func() { g.release(w); g.endPreferred(isPreferred) }), nil
}

// endPreferred counts the end of a call that others yield to.
func (g *slotLimiter) endPreferred(isPreferred bool) {
	if isPreferred {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.preferred--
		g.admit()
	}
}

// stopYielding makes a waiter eligible while other calls are in flight.
func (g *slotLimiter) stopYielding(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.patient = false
	g.admit()
}

// cancelWait removes a waiter from its queue; false means it was just admitted.
func (g *slotLimiter) cancelWait(w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, queue := range []*[]*waiter{&g.foreQueue, &g.backQueue} {
		if i := slices.Index(*queue, w); i >= 0 {
			*queue = slices.Delete(*queue, i, i+1)
			return true
		}
	}
	return false
}

func (g *slotLimiter) release(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(w, -1)
	g.admit()
}

// admit admits all waiters for whom a slot is free; a waiter does not block later ones of
// other classes. g.mu must be held.
func (g *slotLimiter) admit() {
	for _, queue := range []*[]*waiter{&g.foreQueue, &g.backQueue} {
		*queue = slices.DeleteFunc(*queue, func(w *waiter) bool {
			if !g.canAdmit(w) {
				return false
			}
			g.count(w, 1)
			close(w.admitted)
			return true
		})
	}
}

func (g *slotLimiter) canAdmit(w *waiter) bool {
	switch {
	case w.class == socket:
		return true
	case w.yields && g.preferred > 0 && (w.patient || g.yielding > 0):
		return false
	case w.class == stream, w.class == archive:
		return g.streams > 0
	case w.class == ssh:
		return g.ssh > 0
	case w.class == heavy && g.heavy <= 0:
		return false
	case w.background && g.background <= 0:
		return false
	}
	return g.free > 0
}

// count takes n slots of the waiter's class, or releases them if n is negative. g.mu must
// be held.
func (g *slotLimiter) count(w *waiter, n int) {
	if w.yields {
		g.yielding += n
	}
	switch w.class {
	case socket:
		return
	case stream, archive:
		g.streams -= n
		return
	case ssh:
		g.ssh -= n
		return
	}
	g.free -= n
	if w.class == heavy {
		g.heavy -= n
	}
	if w.background {
		g.background -= n
	}
}
