package runlog

import (
	"math"
	"slices"
)

// resolveStart finds where the cursor's start is in the log that is there. Called with
// the locks of next.
func (c *Cursor) resolveStart() step {
	j := c.j
	switch {
	case c.at.fromEnd:
		return c.resolveNow()
	case c.at.origin == 0:
		return c.setPosition(Position{origin: j.origin})
	case c.at.origin != j.origin:
		return c.invalidate(SourceChanged)
	case j.origin == FromMergedTable:
		return c.resolveInTable()
	case c.at.isStart():
		return c.setPosition(c.at)
	case j.origin == FromLogStream && j.high.before(c.at):
		if j.ended { // a stream does not say how much there is
			return c.invalidate(LogTruncated)
		}
		return step{changed: j.changed}
	case c.aheadOfPoll():
		// Another process has seen more of the log than this one's last poll.
		j.pollRequested.Store(true)
		j.requestVerifiedPoll()
		return step{changed: j.changed}
	case c.at.firstLine == lineFingerprint{} && c.at.unaligned:
	case c.at.firstLine != j.high.firstLine && j.high.firstLine != lineFingerprint{}:
		return c.invalidate(LogReplaced)
	case c.at.firstLine != j.high.firstLine || j.high.before(c.at) && c.at.offset > j.size:
		return c.invalidate(LogTruncated)
	}
	// The line before is compared with the batch that follows.
	return c.setPosition(c.at)
}

func (c *Cursor) setPosition(at Position) step {
	c.at, c.positioned = at, true
	return step{}
}

// aheadOfPoll says that the cursor may be further than the last poll.
func (c *Cursor) aheadOfPoll() bool {
	j := c.j
	return j.high.before(c.at) && (!j.atEnd || j.polledAt.Before(c.joinedAt))
}

// diverged says that the cursor stands where the log has no end of a line, or
// another line before it. Called with the locks of next, at the end of the window.
func (c *Cursor) diverged() bool {
	j, at := c.j, c.at
	switch {
	case at.unaligned || j.origin == FromMergedTable || !j.atEnd:
		return false
	case j.high.before(at): // its line had no newline, and may be taken here yet
		return !at.unterminated || j.ended
	}
	return at.prevLine != j.high.prevLine && at.prevLine != lineFingerprint{} && j.high.prevLine != lineFingerprint{}
}

// resolveNow positions the cursor behind everything that the poller has seen.
func (c *Cursor) resolveNow() step {
	j := c.j
	switch {
	case c.at.lines > 0:
		return c.resolveLastLines()
	case (j.origin == FromMergedTable || j.origin == FromLogStream) && !j.atEnd:
		return step{changed: j.changed}
	case j.origin == FromMergedTable || j.high.offset >= j.size:
		return c.setPosition(j.high)
	}
	return c.setPosition(Position{origin: j.origin, offset: j.size, firstLine: j.high.firstLine, unaligned: true})
}

// rewind is a walk back over the lines of a log.
type rewind struct {
	active    bool
	remaining int64 // that are still to be passed
	offset    int64 // the line that was passed last
}

// resolveLastLines positions the cursor so many lines before the end.
func (c *Cursor) resolveLastLines() step {
	j := c.j
	switch {
	case !j.atEnd && !c.rewind.active:
		return step{changed: j.changed}
	case !c.rewind.active:
		c.rewind = rewind{active: true, remaining: c.at.lines, offset: j.high.offset}
		for _, b := range slices.Backward(j.window) {
			if c.rewindOver(b) {
				return step{}
			}
		}
		c.rewind.offset = min(c.rewind.offset, j.low.offset)
	}
	if c.rewind.offset <= 0 {
		return c.setPosition(Position{origin: j.origin})
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

// rewindOver walks back over a batch, and says whether the position is in it.
func (c *Cursor) rewindOver(b *Batch) bool {
	for _, m := range slices.Backward(b.lineEntries) {
		if m.offset >= c.rewind.offset {
			continue
		}
		c.rewind.offset = m.offset
		if c.rewind.remaining--; c.rewind.remaining == 0 {
			c.setPosition(Position{origin: c.j.origin, offset: m.offset, firstLine: c.j.high.firstLine, unaligned: m.offset > 0})
			return true
		}
	}
	return false
}

// chunkSize is the size of a chunk in the log's own offsets.
func (j *journal) chunkSize() int64 {
	if j.origin == FromLogStream {
		return chunkLines
	}
	return chunkBytes
}

// fetchAt is the fetch of the chunk with the line at an offset.
func (c *Cursor) fetchAt(offset int64) *fetch {
	j := c.j
	return &fetch{
		key:    chunkKey{journal: j, epoch: j.epoch, index: offset / j.chunkSize()},
		offset: offset, limit: j.high.offset, changed: j.changed,
	}
}

// readHistory delivers what is before the window.
func (c *Cursor) readHistory() step {
	j := c.j
	switch {
	case c.historyFailed && j.end != 0:
		return c.endStep(j.end)
	case c.historyFailed && j.err != nil:
		return step{err: j.err}
	case j.origin == FromMergedTable:
		return c.replayTable()
	}
	f := c.fetchAt(c.at.offset)
	f.use = func(chunk *chunk) step {
		for _, b := range chunk.batches {
			if c.at.before(b.to) {
				return c.deliver(b)
			}
		}
		return step{}
	}
	return step{fetch: f}
}

// resolveInTable compares what the cursor's client has of a merged table with the
// table. If there is no difference it goes on behind it, else it is sent again,
// without a reset: what the client has is not wrong, only old.
func (c *Cursor) resolveInTable() step {
	j := c.j
	if !j.atEnd {
		return step{changed: j.changed}
	}
	at := c.at
	c.replay = &replay{target: j.snapshot.completeVersion, to: j.tableEnd(), from: math.MinInt64, maxStep: math.MinInt64, exact: true}
	if at.digest != 0 && j.snapshot.digestUpTo(at.step) == at.digest && at.step < math.MaxInt64 {
		c.replay.from, c.replay.maxStep, c.replay.digest = at.step+1, at.step, at.digest
	} else {
		at = Position{origin: FromMergedTable}
	}
	at.offset = 0
	return c.setPosition(at)
}

// tableEnd is the position behind the version up to which the snapshot is complete.
func (j *journal) tableEnd() Position {
	if j.snapshot.completeVersion == j.high.offset {
		return j.high
	}
	return Position{origin: FromMergedTable, offset: j.snapshot.completeVersion, step: j.snapshot.maxStep}
}

// replayTable delivers what has changed since the cursor's position.
func (c *Cursor) replayTable() step {
	j := c.j
	if c.replay == nil {
		if j.snapshot.completeVersion <= c.at.offset {
			return step{changed: j.changed} // a table that is being read
		}
		c.replay = &replay{
			since: c.at.offset, target: j.snapshot.completeVersion, to: j.tableEnd(),
			from: math.MinInt64, maxStep: math.MinInt64, exact: c.at.offset == 0,
		}
	}
	if b := j.snapshot.nextBatch(c.replay); b != nil {
		c.at, c.delivered = b.to, true
		return c.itemStep(Item{Kind: ItemBatch, Batch: b})
	}
	c.at, c.replay = c.replay.to, nil
	return step{}
}
