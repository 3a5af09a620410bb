package runlog

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// retryHistory is how long a cursor waits after a read of history has failed, if
// nothing happens before.
const retryHistory = time.Second

// Cursor is one reader of a followed log. It holds a place in the log and no
// batch, so that it costs nothing while its client is slow. Next is for one
// goroutine; Health, Position and Close may be called from others.
type Cursor struct {
	j     *journal
	until Until

	mu       sync.Mutex // guards what follows
	at       Position
	epoch    int
	isPlaced bool // at is a place of the journal's log
	hasRead  bool // something was delivered, or the start was a token
	isCaught bool // ItemCaughtUp was delivered
	told     *Status
	scan     *scan // over a merged table, while at is before its window
	back     back  // of a start that is so many lines before the end
	joined   time.Time
	isLost   bool // the last fetch has failed
	counts   eventlog.Counts
	isOver   bool
	isClosed bool
}

func newCursor(j *journal, start Position, until Until) *Cursor {
	c := &Cursor{j: j, until: until, at: start, hasRead: start.origin != 0, joined: time.Now()}
	if !j.key.isText {
		c.at.lines = 0
	}
	return c
}

// Close takes the cursor off its log. It may be called more than once, and does
// not wake a Next that waits: its context does.
func (c *Cursor) Close() {
	c.mu.Lock()
	isFirst := !c.isClosed
	c.isClosed = true
	c.mu.Unlock()
	if isFirst {
		c.j.hub.leave(c.j)
	}
}

// Position is the place behind what was delivered.
func (c *Cursor) Position() Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Next returns what follows, and waits for it. After ItemEnd it returns io.EOF.
// Other errors are the context's, after which Next may be called again and has
// lost nothing; and those that end the cursor: ErrUnreachable,
// *eventlog.LineTooLongError, ErrHubClosed.
func (c *Cursor) Next(ctx context.Context) (Item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Item{}, err
		}
		step := c.next()
		switch {
		case step.err != nil:
			return Item{}, step.err
		case step.item.Kind != 0:
			return step.item, nil
		case step.fetch != nil:
			item, err := c.fetch(ctx, step.fetch)
			if err != nil || item.Kind != 0 {
				return item, err
			}
			continue
		case step.changed == nil:
			continue
		}
		select {
		case <-ctx.Done():
		case <-step.changed:
		case <-c.j.hub.ctx.Done():
		}
	}
}

// step is what a cursor does next: deliver an item, end with an error, fetch
// history, wait for a change, or, if it is empty, look again.
type step struct {
	item    Item
	err     error
	fetch   *fetch
	changed <-chan struct{}
}

// fetch is a piece of history that a cursor needs.
type fetch struct {
	key           chunkKey
	offset, limit int64
	use           func(*chunk) step // called with the locks of next
	changed       <-chan struct{}
}

// next decides about the next step, under the locks of the cursor and the journal,
// so that it sees data and state as they belong together.
func (c *Cursor) next() step {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	switch {
	case c.isOver:
		return step{err: io.EOF}
	case j.hub.ctx.Err() != nil || c.isClosed:
		return step{err: ErrHubClosed}
	case c.epoch != j.epoch:
		return c.reset(j.epoch, j.reset)
	case !j.isOpened:
		return c.idle()
	case !c.isPlaced:
		return c.place()
	case c.scan != nil || c.at.before(j.low):
		return c.past()
	}
	if b := j.find(c.at); b != nil {
		return c.deliver(b)
	}
	if c.isAstray() {
		return c.void(LogReplaced)
	}
	return c.idle()
}

// reset begins again with another log. Who has delivered nothing says nothing.
func (c *Cursor) reset(epoch int, reason ResetReason) step {
	hadRead := c.hasRead && c.isPlaced
	c.epoch = epoch
	if !c.isPlaced {
		return step{} // a token is judged by the log that is there now
	}
	c.at, c.isPlaced, c.isCaught, c.scan = Position{}, false, false, nil
	if !hadRead {
		return step{}
	}
	return c.item(Item{Kind: ItemReset, Reset: reason})
}

// void is a reset of this cursor alone: its token is not of this log.
func (c *Cursor) void(reason ResetReason) step {
	c.isPlaced = true
	c.hasRead = true
	return c.reset(c.epoch, reason)
}

// item completes an item.
func (c *Cursor) item(i Item) step {
	i.Position = c.at
	return step{item: i}
}

// deliver delivers what a batch has behind the cursor.
func (c *Cursor) deliver(b *Batch) step {
	if !b.follows(c.at) {
		return c.void(LogReplaced)
	}
	part, ok := b.after(c.at)
	if !ok {
		return c.void(LogReplaced)
	}
	c.at = b.to
	c.counts.MalformedLines += b.counts.MalformedLines
	c.counts.UnplacedPoints += b.counts.UnplacedPoints
	if part.isEmpty() {
		return step{}
	}
	c.hasRead = true
	return c.item(Item{Kind: ItemBatch, Batch: part})
}

// idle tells what has changed besides the log, or waits.
func (c *Cursor) idle() step {
	j := c.j
	isAtEnd := j.isOpened && c.isPlaced && j.isAtEnd
	if isAtEnd && !c.isCaught {
		c.isCaught = true
		return c.item(Item{Kind: ItemCaughtUp})
	}
	if s, ok := c.state(); ok {
		return s
	}
	if isAtEnd && j.hasEnded && c.until == UntilEnded {
		return c.over(EndTerminal)
	}
	switch {
	case j.end != 0:
		return c.over(j.end)
	case j.err != nil:
		return step{err: j.err}
	}
	return step{changed: j.changed}
}

// state tells of another status. The first one that is known is no change; who
// does not end with the run is told that it has ended.
func (c *Cursor) state() (step, bool) {
	status := c.j.effective()
	if status == (Status{}) || c.told != nil && *c.told == status {
		return step{}, false
	}
	isNews := c.told != nil || status.HasEnded && c.until == Forever
	if status.HasEnded && c.until == UntilEnded && c.j.hasEnded {
		isNews = false // the end says it
	}
	c.told = &status
	if !isNews {
		return step{}, false
	}
	return c.item(Item{Kind: ItemState, Status: status}), true
}

func (c *Cursor) over(reason EndReason) step {
	c.isOver = true
	return c.item(Item{Kind: ItemEnd, End: reason, Status: c.j.status})
}

// Health says how fresh the cursor is.
func (c *Cursor) Health() Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	h := Health{
		LastSuccess: j.lastSuccess, State: j.upstream, LastError: j.lastErr, BehindBytes: -1,
		PollInterval: j.interval, NewestTime: j.newest, HasNewest: j.hasNewest,
		MalformedLines: c.counts.MalformedLines, UnplacedPoints: c.counts.UnplacedPoints,
		Status: j.effective(),
	}
	if _, isFile := j.high.Offset(); isFile && j.isOpened && c.isPlaced && j.size >= 0 {
		h.BehindBytes = max(j.size-c.at.offset, 0)
	}
	return h
}

// fetch gets a piece of history and goes on with it. A failure ends the cursor
// only if no other try can help; else the poller will find out what is wrong.
func (c *Cursor) fetch(ctx context.Context, f *fetch) (Item, error) {
	j := c.j
	chunk, err := j.hub.history.get(ctx, f.key, f.offset, f.limit)
	if err == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		j.mu.RLock()
		defer j.mu.RUnlock()
		c.isLost = false
		if c.isClosed || f.key.epoch != j.epoch {
			return Item{}, nil // Next looks again
		}
		s := f.use(chunk)
		return s.item, s.err
	}
	switch {
	case ctx.Err() != nil:
		return Item{}, ctx.Err()
	case isTooLong(err):
		return Item{}, err
	case errors.Is(err, errOtherLog), errors.Is(err, ErrGone):
		j.wake()
	}
	c.mu.Lock()
	c.isLost = true
	c.mu.Unlock()
	timer := time.NewTimer(retryHistory)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-f.changed:
	case <-j.hub.ctx.Done():
	}
	return Item{}, nil
}
