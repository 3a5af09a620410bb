package follow

import (
	"math"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// resolveStart finds the cursor's start in the current log. The locks of next must be held.
func (c *Cursor) resolveStart() step {
	j := c.j
	switch {
	case c.at.FromEnd:
		return c.resolveNow()
	case c.at.Origin == 0:
		return c.setPosition(runsource.Position{Origin: j.origin})
	case c.at.Origin != j.origin:
		return c.invalidate(SourceChanged)
	case j.origin == runsource.FromMergedTable:
		return c.resolveInTable()
	case c.at.IsStart():
		return c.setPosition(c.at)
	case j.origin == runsource.FromLogStream && j.high.Before(c.at):
		if j.ended { // a stream does not tell its length
			return c.invalidate(LogTruncated)
		}
		return step{changed: j.changed}
	case c.aheadOfPoll():
		// Another process has read further than this one's last poll.
		j.pollRequested.Store(true)
		j.requestPoll(true)
		return step{changed: j.changed}
	case c.at.FirstLine == runsource.LineFingerprint{} && c.at.Unaligned:
	case c.at.FirstLine != j.high.FirstLine && j.high.FirstLine != runsource.LineFingerprint{}:
		return c.invalidate(LogReplaced)
	case c.at.FirstLine != j.high.FirstLine || j.high.Before(c.at) && c.at.Offset > j.size:
		return c.invalidate(LogTruncated)
	}
	// Its previous line is compared with the next batch.
	return c.setPosition(c.at)
}

func (c *Cursor) setPosition(at runsource.Position) step {
	c.at, c.positioned = at, true
	return step{}
}

// aheadOfPoll reports whether the cursor may be further than the last poll.
func (c *Cursor) aheadOfPoll() bool {
	j := c.j
	return j.high.Before(c.at) && (!j.atEnd || !j.polledAt.After(c.joinedAt)) // a poll at the same time may have been earlier
}

// diverged reports whether the log has no line end at the cursor's position, or another
// line before it. The locks of next must be held. It is called at the end of the window.
func (c *Cursor) diverged() bool {
	j, at := c.j, c.at
	switch {
	case at.Unaligned || j.origin == runsource.FromMergedTable || !j.atEnd:
		return false
	case j.high.Before(at): // its line had no newline, and may still be read here
		return !at.Unterminated || j.ended
	}
	return at.PrevLine != j.high.PrevLine && at.PrevLine != runsource.LineFingerprint{} && j.high.PrevLine != runsource.LineFingerprint{}
}

// resolveNow positions the cursor after everything that the poller has read.
func (c *Cursor) resolveNow() step {
	j := c.j
	switch {
	case c.at.Lines > 0:
		return c.resolveLastLines()
	case (j.origin == runsource.FromMergedTable || j.origin == runsource.FromLogStream) && !j.atEnd:
		return step{changed: j.changed}
	case j.origin == runsource.FromMergedTable || j.high.Offset >= j.size:
		return c.setPosition(j.high)
	}
	return c.setPosition(runsource.Position{Origin: j.origin, Offset: j.size, FirstLine: j.high.FirstLine, Unaligned: true})
}

// rewind goes back over the lines of a log.
type rewind struct {
	active    bool
	remaining int64 // lines still to go back
	offset    int64 // offset of the last line gone back to
}

// resolveLastLines positions the cursor a number of lines before the end.
func (c *Cursor) resolveLastLines() step {
	j := c.j
	switch {
	case !j.atEnd && !c.rewind.active:
		return step{changed: j.changed}
	case !c.rewind.active:
		c.rewind = rewind{active: true, remaining: c.at.Lines, offset: j.high.Offset}
		if _, isFile := j.high.FileOffset(); isFile && j.size > j.high.Offset {
			c.rewind.remaining-- // the unterminated line is the last one
		}
		if c.rewind.remaining == 0 {
			return c.setPosition(j.high)
		}
		for _, b := range slices.Backward(j.window) {
			if c.rewindOver(b) {
				return step{}
			}
		}
		c.rewind.offset = min(c.rewind.offset, j.low.Offset)
	}
	if c.rewind.offset <= 0 {
		return c.setPosition(runsource.Position{Origin: j.origin})
	}
	f := c.fetchAt(c.rewind.offset - 1)
	f.use = func(chunk *chunk) step {
		for _, b := range slices.Backward(chunk.batches) {
			if c.rewindOver(b) {
				return step{}
			}
		}
		c.rewind.offset = min(c.rewind.offset, f.key.index*j.chunkSize())
		return step{}
	}
	return step{fetch: f}
}

// rewindOver goes back over a batch, and reports whether the position is in it.
func (c *Cursor) rewindOver(b *logbatch.Batch) bool {
	for _, m := range slices.Backward(b.LineEntries) {
		if m.Offset >= c.rewind.offset {
			continue
		}
		c.rewind.offset = m.Offset
		if c.rewind.remaining--; c.rewind.remaining == 0 {
			c.setPosition(runsource.Position{Origin: c.j.origin, Offset: m.Offset, FirstLine: c.j.high.FirstLine, Unaligned: m.Offset > 0})
			return true
		}
	}
	return false
}

// chunkSize returns the size of a chunk in the log's offsets: bytes or lines.
func (j *journal) chunkSize() int64 {
	if j.origin == runsource.FromLogStream {
		return chunkLines
	}
	return chunkBytes
}

// fetchAt returns the fetch of the chunk with the line at an offset.
func (c *Cursor) fetchAt(offset int64) *fetch {
	j := c.j
	return &fetch{
		key:    chunkKey{journal: j, epoch: j.epoch, index: offset / j.chunkSize()},
		offset: offset, limit: j.high.Offset, changed: j.changed,
	}
}

// readHistory delivers batches from before the window.
func (c *Cursor) readHistory() step {
	j := c.j
	switch {
	case c.historyFailed && j.end != 0:
		return c.endStep(j.end)
	case c.historyFailed && j.err != nil:
		return step{err: j.err}
	case j.origin == runsource.FromMergedTable:
		return c.replayTable()
	}
	f := c.fetchAt(c.at.Offset)
	f.use = func(chunk *chunk) step {
		for _, b := range chunk.batches {
			if c.at.Before(b.To) {
				return c.deliver(b)
			}
		}
		return step{}
	}
	return step{fetch: f}
}

// resolveInTable compares the table with what the cursor's client has. If nothing differs,
// the cursor continues; otherwise the table is sent again, without a reset, because the
// client's values are only outdated.
func (c *Cursor) resolveInTable() step {
	j := c.j
	if !j.atEnd {
		return step{changed: j.changed}
	}
	at := c.at
	c.replay = &logbatch.Replay{Target: j.snapshot.CompleteVersion, To: j.tableEnd(), From: math.MinInt64, MaxStep: math.MinInt64, Exact: true}
	if at.Digest != 0 && j.snapshot.DigestUpTo(at.Step) == at.Digest && at.Step < math.MaxInt64 {
		c.replay.From, c.replay.MaxStep, c.replay.Digest = at.Step+1, at.Step, at.Digest
	} else {
		at = runsource.Position{Origin: runsource.FromMergedTable}
	}
	at.Offset = 0
	return c.setPosition(at)
}

// tableEnd returns the position after the version up to which the snapshot is complete.
func (j *journal) tableEnd() runsource.Position {
	if j.snapshot.CompleteVersion == j.high.Offset {
		return j.high
	}
	return runsource.Position{Origin: runsource.FromMergedTable, Offset: j.snapshot.CompleteVersion, Step: j.snapshot.MaxStep}
}

// replayTable delivers what has changed since the cursor's position.
func (c *Cursor) replayTable() step {
	j := c.j
	if c.replay == nil {
		if j.snapshot.CompleteVersion <= c.at.Offset {
			return step{changed: j.changed} // a table is being read
		}
		c.replay = &logbatch.Replay{
			Since: c.at.Offset, Target: j.snapshot.CompleteVersion, To: j.tableEnd(),
			From: math.MinInt64, MaxStep: math.MinInt64, Exact: c.at.Offset == 0,
		}
	}
	if b := j.snapshot.NextBatch(c.replay); b != nil {
		c.at, c.delivered = b.To, true
		return c.itemStep(Item{Kind: ItemBatch, Batch: b})
	}
	c.at, c.replay = c.replay.To, nil
	return step{}
}
