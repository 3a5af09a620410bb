// Package flight lets callers that want the same at the same time share one piece of
// work. The work belongs to none of them: it is canceled when the last one has left.
package flight

import (
	"context"
	"errors"
	"sync"
)

var (
	// ErrClosed is the error of calls that come after Close.
	ErrClosed = errors.New("the group of shared calls is closed")
	// errPanicked is seen only by those who wait while the process goes down.
	errPanicked = errors.New("the shared call panicked")
)

// Group shares the work of each key. The zero Group is ready for use, and is safe for
// concurrent use.
type Group[K comparable, V any] struct {
	mu       sync.Mutex // guards what follows, and the callers of all calls
	closed   bool
	inFlight map[K]*Call[K, V]
	running  map[*Call[K, V]]struct{} // those included that all callers have left
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

// Do returns what work returns for a key, which is called unless it is in flight. The
// value is shared. When ctx ends first, its error is returned.
func (g *Group[K, V]) Do(ctx context.Context, key K, work func(context.Context) (V, error)) (V, error) {
	if err := ctx.Err(); err != nil {
		var none V
		return none, err
	}
	call, _ := g.Join(ctx, key, work)
	return call.Wait(ctx)
}

// Join joins the work of a key if it is in flight, or else starts it, and says so.
// The context of work has the values of ctx and not its end. The caller must Leave
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

// Done returns a call that has a result from the beginning.
func Done[K comparable, V any](key K, value V, err error) *Call[K, V] {
	c := &Call[K, V]{key: key, done: make(chan struct{}), value: value, err: err}
	close(c.done)
	return c
}

// start starts a call; called with mu held.
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

// finish publishes the result. Later callers start work of their own.
func (g *Group[K, V]) finish(c *Call[K, V]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(c)
	delete(g.running, c)
	close(c.done)
}

// forget keeps callers from joining a call; called with mu held.
func (g *Group[K, V]) forget(c *Call[K, V]) {
	if g.inFlight[c.key] == c {
		delete(g.inFlight, c.key)
	}
}

// Callers is how many share the work of a key that is in flight.
func (g *Group[K, V]) Callers(key K) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c, ok := g.inFlight[key]; ok {
		return c.callers
	}
	return 0
}

// Close cancels all work and waits for its end.
func (g *Group[K, V]) Close() {
	g.mu.Lock()
	g.closed = true
	for c := range g.running {
		c.cancel()
	}
	g.mu.Unlock()
	g.ended.Wait()
}

// Key is what the call was made for.
func (c *Call[K, V]) Key() K { return c.key }

// Done is closed when the call has a result.
func (c *Call[K, V]) Done() <-chan struct{} { return c.done }

// Result is the result of a call that is done.
func (c *Call[K, V]) Result() (V, error) { return c.value, c.err }

// Wait returns the result, or leaves the call when ctx ends first.
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

// Leave takes a caller off the call. The last one out cancels it: nobody wants its
// result, and a newcomer must not join it any more.
func (c *Call[K, V]) Leave() {
	if c.group == nil {
		return // it was done from the beginning
	}
	c.group.mu.Lock()
	defer c.group.mu.Unlock()
	if c.callers--; c.callers <= 0 {
		c.cancel()
		c.group.forget(c)
	}
}
