package runlog

import (
	"context"
	"errors"
	"time"
)

// retryHistory is how long a cursor waits after a read of history has failed, if
// nothing happens before.
const retryHistory = time.Second

// fetch is a piece of history that a cursor needs.
type fetch struct {
	key           chunkKey
	offset, limit int64
	use           func(*chunk) step // called with the locks of next
	changed       <-chan struct{}
}

// aboard is a read of history that a cursor has not waited for to the end.
type aboard struct {
	key    chunkKey
	flight *chunkFlight
}

// fetch gets a piece of history and goes on with it. A failure ends the cursor
// only if no other try can help; else the poller will find out what is wrong.
func (c *Cursor) fetch(ctx context.Context, alarm <-chan time.Time, f *fetch) step {
	flight := c.board(f)
	select {
	case <-flight.landed:
	case <-alarm:
		c.stayAboard(f.key, flight)
		return step{isLate: true}
	case <-ctx.Done():
		c.j.hub.history.leave(f.key, flight)
		return step{err: ctx.Err()}
	}
	if flight.err == nil {
		return c.use(f, flight.chunk)
	}
	switch {
	case isTooLong(flight.err):
		return step{err: flight.err}
	case errors.Is(flight.err, errOtherLog), errors.Is(flight.err, ErrGone):
		c.j.wake()
	}
	c.mu.Lock()
	c.isLost = true
	c.mu.Unlock()
	return c.linger(ctx, alarm, f.changed)
}

// use goes on with a chunk, unless the log has become another one meanwhile.
func (c *Cursor) use(f *fetch, chunk *chunk) step {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.j.mu.RLock()
	defer c.j.mu.RUnlock()
	c.isLost = false
	if c.isClosed || f.key.epoch != c.j.epoch {
		return step{} // Next looks again
	}
	return f.use(chunk)
}

// linger waits for a change, but not long.
func (c *Cursor) linger(ctx context.Context, alarm <-chan time.Time, changed <-chan struct{}) step {
	timer := time.NewTimer(retryHistory)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	case <-c.j.hub.ctx.Done():
	case <-alarm:
		return step{isLate: true}
	}
	return step{}
}

// board joins the read of a piece of history, or goes on waiting for it.
func (c *Cursor) board(f *fetch) *chunkFlight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.aboard != nil && c.aboard.key == f.key {
		flight := c.aboard.flight
		c.aboard = nil
		return flight
	}
	c.disembark()
	return c.j.hub.history.join(f.key, f.offset, f.limit)
}

// stayAboard keeps the read alive: were it given up whenever a heartbeat is due,
// a Viewer that is slower than that would never get it done.
func (c *Cursor) stayAboard(key chunkKey, flight *chunkFlight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.aboard = &aboard{key: key, flight: flight}
	if c.isClosed {
		c.disembark()
	}
}

// disembark gives up the read that the cursor is aboard of; called with mu held.
func (c *Cursor) disembark() {
	if c.aboard != nil {
		c.j.hub.history.leave(c.aboard.key, c.aboard.flight)
		c.aboard = nil
	}
}
