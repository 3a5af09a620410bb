// Package flight lets concurrent callers with the same key share one piece of work (single
// flight). No caller owns the work: it is canceled when the last one leaves.
package flight

import (
	"context"
	"errors"
	"sync"
)

var (
	// ErrClosed is the error of calls made after Close.
	ErrClosed = errors.New("the group of shared calls is closed")
	// errPanicked is seen only by callers that wait while the process crashes.
	errPanicked = errors.New("the shared call panicked")
)

// Group shares work by key. The zero Group is ready for use; it is safe for concurrent use.
type Group[K comparable, V any] struct {
	mu       sync.Mutex // guards the fields below, and callers of every Call
	closed   bool
	inFlight map[K]*Call[K, V]
	running  map[*Call[K, V]]struct{} // includes calls that all callers have left
	ended    sync.WaitGroup
}

// Call is one piece of work in flight, or the result of one.
type Call[K comparable, V any] struct {
	group   *Group[K, V]
	key     K
	cancel  context.CancelFunc
	callers int
	done    chan struct{} // closed when value and err are set
	value   V
	err     error
}

// Do returns the result of work for the key, joining the call that is in flight or starting
// one. Callers share the value. If ctx ends first, Do returns its error.
func (g *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	if err := ctx.Err(); err != nil {
		var none V
		return none, err
	}
	call, _ := g.Join(ctx, key, work)
	return call.Wait(ctx)
}

// Join joins the call of a key that is in flight, or starts one and returns started. The
// context of work keeps the values of ctx but not its cancellation. The caller must Leave
// unless the call is done.
func (g *Group[K, V]) Join(ctx context.Context, key K, work func(context.Context) (V, error)) (call *Call[K, V], started bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, ok := g.inFlight[key]
	switch {
	case ok:
	case g.closed:
		var none V
		return Done(key, none, ErrClosed), false
	default:
		c = g.start(ctx, key, work)
	}
	c.callers++
	return c, !ok
}

// Done returns a call that is already done, with the given result.
func Done[K comparable, V any](key K, value V, err error) *Call[K, V] {
	c := &Call[K, V]{key: key, done: make(chan struct{}), value: value, err: err}
	close(c.done)
	return c
}

// start starts a call. g.mu must be held.
func (g *Group[K, V]) start(ctx context.Context, key K, work func(context.Context) (V, error)) *Call[K, V] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Call[K, V]{group: g, key: key, cancel: cancel, done: make(chan struct{}), err: errPanicked}
	if g.inFlight == nil {
		g.inFlight, g.running = make(map[K]*Call[K, V]), make(map[*Call[K, V]]struct{})
	}
	g.inFlight[key], g.running[c] = c, struct{}{}
	g.ended.Go(func() {
		defer cancel()
		defer g.finish(c)
		c.value, c.err = work(ctx)
	})
	return c
}

// finish publishes the result. Later callers start a new call.
func (g *Group[K, V]) finish(c *Call[K, V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(c)
	delete(g.running, c)
	close(c.done)
}

// forget keeps later callers from joining a call. g.mu must be held.
func (g *Group[K, V]) forget(c *Call[K, V]) {
	if g.inFlight[c.key] == c {
		delete(g.inFlight, c.key)
	}
}

// Callers returns how many callers share the call of a key that is in flight.
func (g *Group[K, V]) Callers(key K) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := g.inFlight[key]; ok {
		return c.callers
	}
	return 0
}

// Close cancels all calls and waits until they have returned.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.running {
		c.cancel()
	}
	g.mu.Unlock()
	g.ended.Wait()
}

// Key returns the key of the call.
func (c *Call[K, V]) Key() K { return c.key }

// Done is closed when the call has a result.
func (c *Call[K, V]) Done() <-chan struct{} { return c.done }

// Result returns the result. The call must be done.
func (c *Call[K, V]) Result() (V, error) { return c.value, c.err }

// Wait returns the result, or leaves the call if ctx ends first.
func (c *Call[K, V]) Wait(ctx context.Context) (V, error) {
	select {
	case <-c.done:
		return c.Result()
	case <-ctx.Done():
		c.Leave()
		var none V
		return none, ctx.Err()
	}
}

// Leave removes one caller. When the last one leaves, the call is canceled and can no
// longer be joined.
func (c *Call[K, V]) Leave() {
	if c.group == nil {
		return // made by the function Done
	}
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	if c.callers--; c.callers <= 0 {
		c.cancel()
		c.group.forget(c)
	}
}
