package runlog

import (
	"context"
	"errors"
)

// flight is one update of a run, shared by all who ask for the run meanwhile.
type flight struct {
	cancel  context.CancelFunc
	waiters int           // guarded by entry.mu
	done    chan struct{} // closed when run and err are set
	run     *run
	err     error
}

// refresh returns the run as an update that was in flight or starts now leaves
// it.
func (c *Cache) refresh(ctx context.Context, e *entry, src Source) (*run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	e.mu.Lock()
	f := e.flight
	if f == nil {
		var err error
		if f, err = c.start(ctx, e, src); err != nil {
			e.mu.Unlock()
			return nil, err
		}
	}
	f.waiters++
	e.mu.Unlock()
	select {
	case <-f.done:
		return f.run, f.err
	case <-ctx.Done():
		e.leave(f)
		return nil, ctx.Err()
	}
}

// start starts an update; called with e.mu held. It keeps the values of the
// first caller's context, such as the mark of background work, but not its end.
// An update that all callers have left may still be dying: the next one waits
// for it, since both change the same run.
func (c *Cache) start(ctx context.Context, e *entry, src Source) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, ErrCacheClosed
	}
	detached, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &flight{cancel: cancel, done: make(chan struct{})}
	before := e.last
	e.flight, e.last = f, f
	e.refs++
	c.inFlight.Go(func() {
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)()
		if before != nil {
			<-before.done
		}
		f.run, f.err = c.update(detached, e, src)
		c.release(e) // before it is done: the callers are the last to go
		e.finish(f)
	})
	return f, nil
}

// leave takes a caller off a flight. The last one out ends it: nobody wants its
// result, and what was read so far is kept.
func (e *entry) leave(f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f.waiters--
	if f.waiters > 0 {
		return
	}
	f.cancel()
	if e.flight == f {
		e.flight = nil // a newcomer must not join an update that is dying
	}
}

// finish publishes the result. Later callers start an update of their own.
func (e *entry) finish(f *flight) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.flight == f {
		e.flight = nil
	}
	close(f.done)
}

// update brings the entry's run up to date. It runs in one flight at a time.
func (c *Cache) update(ctx context.Context, e *entry, src Source) (*run, error) {
	if e.run != nil && c.now().Before(e.run.freshUntil) {
		return e.run, nil
	}
	u := &updater{src: src, now: c.now, run: e.run}
	err := u.readEvents(ctx)
	if errors.Is(err, ErrNotServed) {
		err = u.readMerged(ctx)
	}
	if e.run = u.run; errors.Is(err, ErrRunNotFound) {
		e.run = nil
	}
	if e.run == nil {
		c.setSize(e, 0)
		return nil, err
	}
	c.setSize(e, e.run.bytes())
	if err != nil {
		return nil, err
	}
	return e.run, nil
}
