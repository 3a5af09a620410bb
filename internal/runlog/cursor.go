package runlog

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

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
	aboard   *aboard
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
	c.disembark()
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
func (c *Cursor) Next(ctx context.Context) (*Item, error) { return c.NextBefore(ctx, nil) }

// NextBefore is Next until alarm fires; then it returns nil and no error. A read
// of history that it waits for goes on until the next call, however short the time
// between two alarms is.
func (c *Cursor) NextBefore(ctx context.Context, alarm <-chan time.Time) (*Item, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s := c.next()
		if s.fetch != nil {
			s = c.fetch(ctx, alarm, s.fetch)
		}
		switch {
		case s.err != nil, s.item != nil, s.isLate:
			return s.item, s.err
		case s.changed == nil:
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-c.j.hub.ctx.Done():
		case <-alarm:
			return nil, nil //nolint:nilnil // the alarm is no error, and there is nothing
		}
	}
}

// step is what a cursor does next: deliver an item, end with an error, fetch
// history, wait for a change, or, if it is empty, look again.
type step struct {
	item    *Item
	err     error
	fetch   *fetch
	changed <-chan struct{}
	isLate  bool // the alarm came first
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
	return step{item: &i}
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
		MalformedLines: c.counts.MalformedLines, UnplacedPoints: c.counts.UnplacedPoints + j.unplaced,
		Status: j.effective(),
	}
	if _, isFile := j.high.Offset(); isFile && j.isOpened && c.isPlaced && j.size >= 0 {
		h.BehindBytes = max(j.size-c.at.offset, 0)
	}
	return h
}
