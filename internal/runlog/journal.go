package runlog

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// journalKey names a followed log.
type journalKey struct {
	Key
	isText bool
}

// feed is where a journal reads from.
type feed struct {
	read   readPart
	status func(ctx context.Context) (Status, time.Time, error)
	table  Source    // of metrics that are no file
	stream LogSource // of a text log that is no file
}

func feedOfMetrics(src MetricSource) feed {
	return feed{read: src.ReadEvents, status: src.Status, table: src}
}

func feedOfLog(src LogSource) feed {
	return feed{read: src.ReadLog, status: src.Status, stream: src}
}

// journal is one followed log: what is retained of it, and what is known of its
// run. Its poller changes it, cursors read it, and none of them waits for another.
//
// What cursors are to be told besides batches is a state here and no event: a
// reset is another epoch, a change of status another status, the end a flag. A
// cursor compares them with what it has told. So nobody can come too late for
// one, those included who join while the poller is ending, and a slow cursor
// costs no memory.
type journal struct {
	hub   *Hub
	key   journalKey
	feed  feed
	lane  *lane
	users int             // cursors; guarded by Hub.mu
	ctx   context.Context //nolint:containedctx // ends with the last cursor, and all requests with it
	stop  context.CancelFunc
	kick  chan bool // wakes the poller; true says that something is wrong with the log

	bytes atomic.Int64 // retained in the window

	mu      sync.RWMutex
	changed chan struct{} // closed and replaced when anything below changes
	epoch   int           // how often what was delivered became void
	reset   ResetReason   // of the last time
	origin  Origin        // 0 until isOpened
	// isOpened says that the log has been seen; low, high and what follows hold
	// only then.
	isOpened bool
	// The window: batches from low to high without a gap.
	low, high Position
	window    []*Batch
	grid      *grid  // of a merged table
	unplaced  uint64 // rows of that table whose step is unusable
	// isAtEnd says that high was the end of the log when the poller last looked.
	isAtEnd bool
	size    int64 // of the file, half a line at its end included; -1 if unknown

	status       Status // of the run; the zero Status until it is known
	isDistrusted bool   // the log has grown although the status is terminal
	hasEnded     bool
	end          EndReason // set once and for all, with the poller's end
	err          error     // likewise

	upstream    UpstreamState
	lastErr     error
	lastSuccess time.Time
	lookedAt    time.Time   // when the last look that succeeded began
	isAwaited   atomic.Bool // a cursor waits for the next look, whatever it finds
	interval    time.Duration
	newest      float64
	hasNewest   bool
}

// announce wakes the cursors; called with mu held.
func (j *journal) announce() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// open notes what was seen of the log first: the window is empty and stands at a
// place.
func (j *journal) open(at Position, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.isOpened, j.isAtEnd = true, false
	j.origin, j.low, j.high, j.size = at.origin, at, at, size
	j.announce()
}

// append adds a batch at the end of the window, and drops the oldest ones beyond
// the bound of a run.
func (j *journal) append(b *Batch) {
	b.retain(&j.hub.bytes, &j.bytes)
	j.hub.malformed.Add(b.counts.MalformedLines)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.window = append(j.window, b)
	j.high = b.to
	if j.size >= 0 { // the read that it came with may fail before its end
		j.size = max(j.size, b.to.offset)
	}
	if b.hasNewest && (!j.hasNewest || b.newest > j.newest) {
		j.newest, j.hasNewest = b.newest, true
	}
	j.trim(j.hub.cfg.MaxRunBytes)
	j.announce()
}

// arrive notes that the window reaches to the end of a log of a size.
func (j *journal) arrive(isAtEnd bool, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.isAtEnd != isAtEnd || j.size != size {
		j.isAtEnd, j.size = isAtEnd, size
		j.announce()
	}
}

// trim drops the oldest batches until a bound is kept; called with mu held. The
// newest one stays.
func (j *journal) trim(limit int64) {
	n := 0
	for n < len(j.window)-1 && j.bytes.Load() > limit {
		j.window[n].release()
		n++
	}
	if n > 0 {
		j.low = j.window[n].from
		j.window = slices.Delete(j.window, 0, n)
	}
}

// void makes everything that was delivered void. The poller begins again.
func (j *journal) void(reason ResetReason) {
	j.mu.Lock()
	j.clear()
	if j.isOpened {
		j.epoch++
		j.reset = reason
		j.hub.resets.Add(1)
	}
	j.isOpened, j.isAtEnd, j.hasEnded, j.hasNewest = false, false, false, false
	j.origin, j.low, j.high, j.grid, j.size = 0, Position{}, Position{}, nil, -1
	j.announce()
	j.mu.Unlock()
	j.hub.history.purge(j)
}

// clear drops the window; called with mu held.
func (j *journal) clear() {
	for _, b := range j.window {
		b.release()
	}
	j.window = nil
}

// grow notes that the log has grown: whatever the status says, the run goes on.
func (j *journal) grow() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.isDistrusted = j.isDistrusted || j.status.HasEnded
	j.hasEnded = false
	j.announce()
}

// say notes the status that was read.
func (j *journal) say(status Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.status != status {
		j.status, j.isDistrusted = status, false
		j.hasEnded = j.hasEnded && status.HasEnded
		j.announce()
	}
}

// settle notes that the run has ended. Whoever has read everything is told so.
func (j *journal) settle() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.hasEnded {
		j.hasEnded = true
		j.announce()
	}
}

// effective is the status that cursors tell; called with mu held.
func (j *journal) effective() Status {
	if j.status.HasEnded && j.isDistrusted && !j.hasEnded {
		return running
	}
	return j.status
}

// finish ends the journal for all cursors, and those who join at this moment: the
// hub forgets it under the same lock under which they join.
func (j *journal) finish(end EndReason, err error) {
	j.hub.forget(j)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end, j.err = end, err
	j.announce()
}

// succeed and fail note how a look at the Viewer went.
func (j *journal) succeed(asked time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.upstream, j.lastErr, j.lastSuccess, j.lookedAt = UpstreamOK, nil, time.Now(), asked
	if j.isAwaited.Swap(false) {
		j.announce()
	}
}

func (j *journal) fail(state UpstreamState, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.upstream, j.lastErr = state, err
}

// pace notes the interval that is kept.
func (j *journal) pace(interval time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.interval = interval
}

// wake makes the poller look, head included, as soon as its interval allows.
func (j *journal) wake() { j.poke(true) }

// nudge makes the poller look as soon as its interval allows.
func (j *journal) nudge() { j.poke(false) }

func (j *journal) poke(isSuspect bool) {
	select {
	case j.kick <- isSuspect:
	default:
	}
}

// find returns the batch of the window that has what follows a place, nil if the
// place is the end; called with mu held, and only if the place is not before low.
func (j *journal) find(at Position) *Batch {
	i, _ := slices.BinarySearchFunc(j.window, at, func(b *Batch, at Position) int {
		if at.before(b.to) {
			return 1
		}
		return -1
	})
	if i == len(j.window) {
		return nil
	}
	return j.window[i]
}
