package runlog

import (
	"math"
	"slices"
)

// place finds where the cursor's start is in the log that is there. Called with
// the locks of next.
func (c *Cursor) place() step {
	j := c.j
	switch {
	case c.at.isNow:
		return c.placeNow()
	case c.at.origin == 0:
		return c.placeAt(Position{origin: j.origin})
	case c.at.origin != j.origin:
		return c.void(SourceChanged)
	case j.origin == FromMergedTable:
		return c.placeInTable()
	case c.at.isStart():
		return c.placeAt(c.at)
	case j.origin == FromLogStream && j.high.before(c.at):
		if j.hasEnded { // a stream does not say how much there is
			return c.void(LogTruncated)
		}
		return step{changed: j.changed}
	case c.isAhead():
		// Another process has seen more of the log than this one's last look.
		j.isAwaited.Store(true)
		j.wake()
		return step{changed: j.changed}
	case c.at.first == lineSum{} && c.at.isLoose:
	case c.at.first != j.high.first && j.high.first != lineSum{}:
		return c.void(LogReplaced)
	case c.at.first != j.high.first || j.high.before(c.at) && c.at.offset > j.size:
		return c.void(LogTruncated)
	}
	// The line before is compared with the batch that follows.
	return c.placeAt(c.at)
}

func (c *Cursor) placeAt(at Position) step {
	c.at, c.isPlaced = at, true
	return step{}
}

// isAhead says that the cursor may be further than the last look.
func (c *Cursor) isAhead() bool {
	j := c.j
	return j.high.before(c.at) && (!j.isAtEnd || j.lookedAt.Before(c.joined))
}

// isAstray says that the cursor stands where the log has no end of a line, or
// another line before it. Called with the locks of next, at the end of the window.
func (c *Cursor) isAstray() bool {
	j, at := c.j, c.at
	switch {
	case at.isLoose || j.origin == FromMergedTable || !j.isAtEnd:
		return false
	case j.high.before(at): // its line had no newline, and may be taken here yet
		return !at.isOpen || j.hasEnded
	}
	return at.last != j.high.last && at.last != lineSum{} && j.high.last != lineSum{}
}

// placeNow places the cursor behind everything that the poller has seen.
func (c *Cursor) placeNow() step {
	j := c.j
	switch {
	case c.at.lines > 0:
		return c.placeBack()
	case (j.origin == FromMergedTable || j.origin == FromLogStream) && !j.isAtEnd:
		return step{changed: j.changed}
	case j.origin == FromMergedTable || j.high.offset >= j.size:
		return c.placeAt(j.high)
	}
	return c.placeAt(Position{origin: j.origin, offset: j.size, first: j.high.first, isLoose: true})
}

// back is a walk back over the lines of a log.
type back struct {
	isOn  bool
	lines int64 // that are still to be passed
	upTo  int64 // the line that was passed last
}

// placeBack places the cursor so many lines before the end.
func (c *Cursor) placeBack() step {
	j := c.j
	switch {
	case !j.isAtEnd && !c.back.isOn:
		return step{changed: j.changed}
	case !c.back.isOn:
		c.back = back{isOn: true, lines: c.at.lines, upTo: j.high.offset}
		for _, b := range slices.Backward(j.window) {
			if c.isPassed(b) {
				return step{}
			}
		}
		c.back.upTo = min(c.back.upTo, j.low.offset)
	}
	if c.back.upTo <= 0 {
		return c.placeAt(Position{origin: j.origin})
	}
	f := c.fetchAt(c.back.upTo - 1)
	f.use = func(chunk *chunk) step {
		for _, b := range slices.Backward(chunk.batches) {
			if c.isPassed(b) {
				return step{}
			}
		}
		c.back.upTo = min(c.back.upTo, f.key.index*j.chunkSize())
		return step{}
	}
	return step{fetch: f}
}

// isPassed walks back over a batch, and says whether the place is in it.
func (c *Cursor) isPassed(b *Batch) bool {
	for _, m := range slices.Backward(b.marks) {
		if m.offset >= c.back.upTo {
			continue
		}
		c.back.upTo = m.offset
		if c.back.lines--; c.back.lines == 0 {
			c.placeAt(Position{origin: c.j.origin, offset: m.offset, first: c.j.high.first, isLoose: m.offset > 0})
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

// past delivers what is before the window.
func (c *Cursor) past() step {
	j := c.j
	switch {
	case c.isLost && j.end != 0:
		return c.over(j.end)
	case c.isLost && j.err != nil:
		return step{err: j.err}
	case j.origin == FromMergedTable:
		return c.pastOfTable()
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

// placeInTable compares what the cursor's client has of a merged table with the
// table. If there is no difference it goes on behind it, else it is sent again,
// without a reset: what the client has is not wrong, only old.
func (c *Cursor) placeInTable() step {
	j := c.j
	if !j.isAtEnd {
		return step{changed: j.changed}
	}
	at := c.at
	c.scan = &scan{target: j.grid.complete, to: j.tableEnd(), from: math.MinInt64, greatest: math.MinInt64, isExact: true}
	if at.digest != 0 && j.grid.digestUpTo(at.step) == at.digest && at.step < math.MaxInt64 {
		c.scan.from, c.scan.greatest, c.scan.digest = at.step+1, at.step, at.digest
	} else {
		at = Position{origin: FromMergedTable}
	}
	at.offset = 0
	return c.placeAt(at)
}

// tableEnd is the place behind the version up to which the grid is complete.
func (j *journal) tableEnd() Position {
	if j.grid.complete == j.high.offset {
		return j.high
	}
	return Position{origin: FromMergedTable, offset: j.grid.complete, step: j.grid.greatest}
}

// pastOfTable delivers what has changed since the cursor's place.
func (c *Cursor) pastOfTable() step {
	j := c.j
	if c.scan == nil {
		if j.grid.complete <= c.at.offset {
			return step{changed: j.changed} // a table that is being read
		}
		c.scan = &scan{
			since: c.at.offset, target: j.grid.complete, to: j.tableEnd(),
			from: math.MinInt64, greatest: math.MinInt64, isExact: c.at.offset == 0,
		}
	}
	if b := j.grid.step(c.scan); b != nil {
		c.at, c.hasRead = b.to, true
		return c.item(Item{Kind: ItemBatch, Batch: b})
	}
	c.at, c.scan = c.scan.to, nil
	return step{}
}
