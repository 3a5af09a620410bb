package follow

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// Cursor is one reader of a followed log. It has a position in the log but holds no batch,
// so a slow client costs no memory. Next is for one goroutine; Health and Close may be
// called from others.
type Cursor struct {
	j     *journal
	until Until

	mu            sync.Mutex // guards the fields below
	at            runsource.Position
	epoch         int
	positioned    bool              // at is a position of the journal's log
	delivered     bool              // something was delivered, or the start was a token
	caughtUpSent  bool              // ItemCaughtUp was delivered
	partial       *logbatch.LogLine // the partial line delivered last
	lastStatus    *runsource.Status
	replay        *logbatch.Replay // of a merged table, while at is before its window
	rewind        rewind           // for a start relative to the end
	joinedAt      time.Time
	historyFailed bool       // the last fetch has failed
	pending       *chunkRead // a read that it may not have waited for completely
	counts        eventlog.Counts
	ended         bool
	closed        bool
}

func newCursor(j *journal, start runsource.Position, until Until) *Cursor {
	c := &Cursor{j: j, until: until, at: start, delivered: start.Origin != 0, joinedAt: time.Now()}
	if !j.key.textLog {
		c.at.Lines = 0
	}
	return c
}

// Close removes the cursor from its log. It may be called more than once. It does not wake
// a waiting Next, whose context must end.
func (c *Cursor) Close() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.cancelPending()
	c.mu.Unlock()
	if first {
		c.j.hub.leave(c.j)
	}
}

// Next returns the next item and waits for it if necessary. After ItemEnd it returns
// io.EOF. After the context's error, Next may be called again without loss; the other
// errors, ErrUnreachable and ErrHubClosed, end the cursor.
func (c *Cursor) Next(ctx context.Context) (*Item, error) { return c.NextBefore(ctx, nil) }

// NextBefore is Next until alarm fires; then it returns nil without an error. A pending
// read of history continues until the next call, so that short intervals between alarms do
// not cancel it.
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
		case s.err != nil, s.item != nil, s.alarmed:
			return s.item, s.err
		case s.changed == nil:
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.changed:
		case <-c.j.hub.ctx.Done():
		case <-alarm:
			return nil, nil //nolint:nilnil // an alarm without an item is not an error
		}
	}
}

// step is the next action of a cursor: deliver an item, end with an error, fetch history,
// wait for a change, or, if it is empty, decide again.
type step struct {
	item    *Item
	err     error
	fetch   *fetch
	changed <-chan struct{}
	alarmed bool // the alarm fired first
}

// next decides about the next step. It holds the locks of the cursor and the journal, so
// that data and state are consistent.
func (c *Cursor) next() step {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	switch {
	case c.ended:
		return step{err: io.EOF}
	case j.hub.ctx.Err() != nil || c.closed:
		return step{err: ErrHubClosed}
	case c.epoch != j.epoch:
		return c.reset(j.epoch, j.reset)
	case !j.opened:
		return c.stateStep()
	case !c.positioned:
		return c.resolveStart()
	case c.replay != nil || c.at.Before(j.low):
		return c.readHistory()
	}
	if b := j.find(c.at); b != nil {
		return c.deliver(b)
	}
	if c.diverged() {
		return c.invalidate(LogReplaced)
	}
	return c.stateStep()
}

// reset starts over after the log was replaced. A cursor that has delivered nothing reports
// nothing.
func (c *Cursor) reset(epoch int, reason ResetReason) step {
	hadDelivered := c.delivered && c.positioned
	c.epoch = epoch
	if !c.positioned {
		return step{} // a token is checked against the current log
	}
	c.at, c.positioned, c.caughtUpSent, c.replay = runsource.Position{}, false, false, nil
	if !hadDelivered {
		return step{}
	}
	return c.itemStep(Item{Kind: ItemReset, Reset: reason})
}

// invalidate resets only this cursor: its token is not from this log.
func (c *Cursor) invalidate(reason ResetReason) step {
	c.positioned = true
	c.delivered = true
	return c.reset(c.epoch, reason)
}

// itemStep completes an item.
func (c *Cursor) itemStep(i Item) step {
	i.Position = c.at
	return step{item: &i}
}

// deliver delivers the part of a batch after the cursor.
func (c *Cursor) deliver(b *logbatch.Batch) step {
	if !b.Follows(c.at) {
		return c.invalidate(LogReplaced)
	}
	part, ok := b.After(c.at)
	if !ok {
		return c.invalidate(LogReplaced)
	}
	c.at = b.To
	c.counts.Add(b.Counts)
	if part.IsEmpty() {
		return step{}
	}
	c.delivered = true
	return c.itemStep(Item{Kind: ItemBatch, Batch: part})
}

// stateStep reports a change other than batches, or waits.
func (c *Cursor) stateStep() step {
	j := c.j
	atEnd := j.opened && c.positioned && j.atEnd
	if atEnd && !c.caughtUpSent {
		c.caughtUpSent = true
		return c.itemStep(Item{Kind: ItemCaughtUp})
	}
	if p := j.partial; atEnd && p != nil && p != c.partial && p.Offset == c.at.Offset && c.at.Offset == j.high.Offset {
		c.partial = p
		return c.itemStep(Item{Kind: ItemPartial, Partial: p})
	}
	if s, ok := c.statusStep(); ok {
		return s
	}
	if atEnd && j.ended && c.until == UntilEnded {
		return c.endStep(EndTerminal)
	}
	switch {
	case j.end != 0:
		return c.endStep(j.end)
	case j.err != nil:
		return step{err: j.err}
	}
	return step{changed: j.changed}
}

// statusStep reports a new status. The first known status is not a change. A cursor that
// does not end with the run gets its end as a status.
func (c *Cursor) statusStep() (step, bool) {
	status := c.j.effectiveStatus()
	if status == (runsource.Status{}) || c.lastStatus != nil && *c.lastStatus == status {
		return step{}, false
	}
	report := c.lastStatus != nil || status.Terminal && c.until == Forever
	if status.Terminal && c.until == UntilEnded && c.j.ended {
		report = false // ItemEnd has it
	}
	c.lastStatus = &status
	if !report {
		return step{}, false
	}
	return c.itemStep(Item{Kind: ItemStatus, Status: status}), true
}

func (c *Cursor) endStep(reason EndReason) step {
	c.ended = true
	return c.itemStep(Item{Kind: ItemEnd, End: reason, Status: c.j.status})
}

// Health returns how fresh the cursor is.
func (c *Cursor) Health() Health {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.j
	j.mu.RLock()
	defer j.mu.RUnlock()
	h := Health{
		LastSuccess: j.lastSuccess, State: j.upstream, LastError: j.lastErr, BehindBytes: -1,
		PollInterval: j.interval, NewestTime: j.newest, Counts: c.counts,
	}
	h.Counts.Add(j.leftOut)
	if _, isFile := j.high.FileOffset(); isFile && j.opened && c.positioned && j.size >= 0 {
		h.BehindBytes = max(j.size-c.at.Offset, 0)
	}
	return h
}
