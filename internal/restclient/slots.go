package restclient

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// slotLimiter admits calls. Light and heavy calls share slots, of which heavy ones
// may take only some and background ones all but one; streams have slots of
// their own, because their readers may be slow, and so has SSH: one. WebSockets
// pass. Whoever waits in the
// foreground goes first, and among equals who came first. Calls that yield go in the
// foreground too, but not while other light or heavy foreground calls wait or run.
type slotLimiter struct {
	mu                   sync.Mutex
	free, heavy, streams int
	ssh                  int
	background           int // slots that background calls may still take
	preferred            int // light and heavy foreground calls that do not yield, waiting or running
	foreQueue, backQueue []*waiter
}

type waiter struct {
	class      class
	background bool
	yields     bool          // for maxYield at most
	admitted   chan struct{} // closed with the slot taken
}

// maxYield is how long a call that yields waits for others at most: those may never end.
const maxYield = 250 * time.Millisecond

type yieldKey struct{}

// Yielding marks calls that somebody waits for, but which are many: each begins only when
// no other foreground call of this client is under way, or after maxYield. A Viewer does
// one thing at a time, so a call of somebody else waits for those alone that have begun.
// Waited is how long all of them have waited for their slots.
func Yielding(ctx context.Context) (_ context.Context, waited func() time.Duration) {
	total := new(atomic.Int64)
	return context.WithValue(ctx, yieldKey{}, total), func() time.Duration { return time.Duration(total.Load()) }
}

func newSlotLimiter(slots, heavySlots, streamSlots int) *slotLimiter {
	return &slotLimiter{free: slots, heavy: min(heavySlots, slots), streams: streamSlots, ssh: 1, background: max(slots-1, 1)}
}

// acquire waits for a slot and returns the function that gives it back, once.
func (g *slotLimiter) acquire(ctx context.Context, c class, background bool) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &waiter{class: c, background: background, admitted: make(chan struct{})}
	if waited, ok := ctx.Value(yieldKey{}).(*atomic.Int64); ok {
		w.yields = true
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

// endPreferred notes that a call has ended for which others yield.
func (g *slotLimiter) endPreferred(isPreferred bool) {
	if isPreferred {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.preferred--
		g.admit()
	}
}

// stopYielding lets a waiter in beside others.
func (g *slotLimiter) stopYielding(w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w.yields = false
	g.admit()
}

// cancelWait takes a waiter out of its queue; false says it was just admitted.
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

// admit lets in whoever fits; called with mu held. One who does not fit does
// not hold up a later one of another class.
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
	case w.yields && g.preferred > 0:
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

// count takes n slots of the waiter's class, or gives them back; called with
// mu held.
func (g *slotLimiter) count(w *waiter, n int) {
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
