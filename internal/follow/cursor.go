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

// Cursor is one reader of a followed log. It holds a position in the log and no
// batch, so that it costs nothing while its client is slow. Next is for one
// goroutine; Health, Position and Close may be called from others.
type Cursor struct {
	j     *journal
	until Until

	mu            sync.Mutex // guards what follows
	at            runsource.Position
	epoch         int
	positioned    bool              // at is a position of the journal's log
	delivered     bool              // something was delivered, or the start was a token
	caughtUpSent  bool              // ItemCaughtUp was delivered
	partial       *logbatch.LogLine // that was delivered last
	lastStatus    *runsource.Status
	replay        *logbatch.Replay // over a merged table, while at is before its window
	rewind        rewind           // of a start that is so many lines before the end
	joinedAt      time.Time
	historyFailed bool       // the last fetch has failed
	pending       *chunkRead // that it has not waited for to the end
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

// Close takes the cursor off its log. It may be called more than once, and does
// not wake a Next that waits: its context does.
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

// Position is the position behind what was delivered.
func (c *Cursor) Position() runsource.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

// Next returns what follows, and waits for it. After ItemEnd it returns io.EOF.
// Other errors are the context's, after which Next may be called again and has
// lost nothing; and those that end the cursor: ErrUnreachable and ErrHubClosed.
func (c *Cursor) Next(ctx context.Context) (*Item, error) { return c.NextBefore(ctx, nil) }

// NextBefore is Next until alarm fires; then it returns nil and no error. A read
// of history that it waits for continues until the next call, however short the time
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
	alarmed bool // the alarm came first
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

// reset begins again with another log. A cursor that has delivered nothing
// reports nothing.
func (c *Cursor) reset(epoch int, reason ResetReason) step {
	hadDelivered := c.delivered && c.positioned
	c.epoch = epoch
	if !c.positioned {
		return step{} // a token is judged by the log that is there now
	}
	c.at, c.positioned, c.caughtUpSent, c.replay = runsource.Position{}, false, false, nil
	if !hadDelivered {
		return step{}
	}
	return c.itemStep(Item{Kind: ItemReset, Reset: reason})
}

// invalidate is a reset of this cursor alone: its token is not of this log.
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

// deliver delivers what a batch has behind the cursor.
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

// stateStep tells what has changed besides the log, or waits.
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

// statusStep tells of another status. The first one that is known is no change; who
// does not end with the run is told that it has ended.
func (c *Cursor) statusStep() (step, bool) {
	status := c.j.effectiveStatus()
	if status == (runsource.Status{}) || c.lastStatus != nil && *c.lastStatus == status {
		return step{}, false
	}
	report := c.lastStatus != nil || status.Terminal && c.until == Forever
	if status.Terminal && c.until == UntilEnded && c.j.ended {
		report = false // the end says it
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
		Counts: c.counts, Status: j.effectiveStatus(),
	}
	h.Counts.Add(j.leftOut)
	if _, isFile := j.high.FileOffset(); isFile && j.opened && c.positioned && j.size >= 0 {
		h.BehindBytes = max(j.size-c.at.Offset, 0)
	}
	return h
}
