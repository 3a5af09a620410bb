package follow

import (
	"context"
	"errors"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// historyRetryDelay is how long a cursor waits after a failed read of history, unless
// something changes.
const historyRetryDelay = time.Second

// fetch is a part of history that a cursor needs.
type fetch struct {
	key           chunkKey
	offset, limit int64
	use           func(*chunk) step // called with the locks of next
	changed       <-chan struct{}
}

// fetch gets a part of history and continues with it. After a failure, a poll finds out the
// reason.
func (c *Cursor) fetch(ctx context.Context, alarm <-chan time.Time, f *fetch) step {
	read := c.joinRead(f)
	select {
	case <-read.Done():
	case <-alarm:
		c.keepPending(read)
		return step{alarmed: true}
	case <-ctx.Done():
		read.Leave()
		return step{err: ctx.Err()}
	}
	chunk, err := read.Result()
	switch {
	case err == nil:
		return c.useChunk(f, chunk)
	case errors.Is(err, runsource.ErrLogReplaced), errors.Is(err, runsource.ErrRunNotFound):
		c.j.requestPoll(true)
	}
	c.mu.Lock()
	c.historyFailed = true
	c.mu.Unlock()
	return c.waitRetry(ctx, alarm, f.changed)
}

// useChunk continues with a chunk, unless the log was replaced in the meantime.
func (c *Cursor) useChunk(f *fetch, chunk *chunk) step {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.j.mu.RLock()
	defer c.j.mu.RUnlock()
	c.historyFailed = false
	if c.closed || f.key.epoch != c.j.epoch {
		return step{} // Next decides again
	}
	return f.use(chunk)
}

// waitRetry waits for a change, at most historyRetryDelay.
func (c *Cursor) waitRetry(ctx context.Context, alarm <-chan time.Time, changed <-chan struct{}) step {
	timer := time.NewTimer(historyRetryDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-changed:
	case <-c.j.hub.ctx.Done():
	case <-alarm:
		return step{alarmed: true}
	}
	return step{}
}

// joinRead joins the read of a chunk, or the pending one.
func (c *Cursor) joinRead(f *fetch) *chunkRead {
	c.mu.Lock()
	defer c.mu.Unlock()
	if read := c.pending; read != nil && read.Key() == f.key {
		c.pending = nil
		return read
	}
	c.cancelPending()
	return c.j.hub.history.join(f.key, f.offset, f.limit)
}

// keepPending keeps the read alive. If it were canceled for every heartbeat, a Viewer that
// is slower than the heartbeats would never finish it.
func (c *Cursor) keepPending(read *chunkRead) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = read
	if c.closed {
		c.cancelPending()
	}
}

// cancelPending cancels the pending read. c.mu must be held.
func (c *Cursor) cancelPending() {
	if c.pending != nil {
		c.pending.Leave()
		c.pending = nil
	}
}
