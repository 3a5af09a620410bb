package follow

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// journalKey identifies a followed log.
type journalKey struct {
	runsource.Key
	textLog bool
}

// logAttrs returns the attributes of the log's log lines.
func (k journalKey) logAttrs() []any {
	name := "metrics"
	if k.textLog {
		name = "text"
	}
	return []any{slog.String("viewer", k.Viewer), slog.String("run_id", k.RunID), slog.String("log", name)}
}

// logSource is the source of a journal.
type logSource struct {
	read   runsource.ReadFunc
	status func(ctx context.Context) (runsource.Status, time.Time, error)
	table  runsource.Source    // of metrics without an event file
	stream runsource.LogSource // of a text log without a file
}

func newMetricLogSource(src runsource.Source) logSource {
	return logSource{read: src.ReadEvents, status: src.Status, table: src}
}

func newTextLogSource(src runsource.LogSource) logSource {
	return logSource{read: src.ReadLog, status: src.Status, stream: src}
}

// journal is one followed log: its retained part and the state of its run. Its poller
// changes it and cursors read it; neither waits for the other.
//
// Everything that cursors report besides batches is state here, not an event: a reset is a
// new epoch, a change of status a new status, the end a flag. A cursor compares this state
// with what it has reported. So no cursor can miss a change, even if it joins while the
// poller is ending, and a slow cursor costs no memory.
type journal struct {
	hub     *Hub
	key     journalKey
	source  logSource
	limiter *limiter
	log     *slog.Logger
	cursors int             // number of cursors; guarded by Hub.mu
	ctx     context.Context //nolint:containedctx // canceled by the last cursor; ends all requests
	stop    context.CancelFunc
	wake    chan bool // wakes the poller; true requests a verification of the log

	bytes atomic.Int64 // retained in the window

	mu      sync.RWMutex
	changed chan struct{}    // closed and replaced when anything below changes
	epoch   int              // number of resets
	reset   ResetReason      // of the last reset
	origin  runsource.Origin // 0 until opened
	// opened reports that the log was read; the fields below are valid only then.
	opened bool
	// The window: batches from low to high without a gap.
	low, high runsource.Position
	window    []*logbatch.Batch
	snapshot  *logbatch.Snapshot // of a merged table
	leftOut   eventlog.Counts    // of that table, as of the last read
	partial   *logbatch.LogLine  // of a text log: the unterminated line at high, if it is idle
	// atEnd reports that high was the end of the log at the last poll.
	atEnd bool
	size  int64 // of the file, including an incomplete line at its end; -1 if unknown

	status           runsource.Status // zero until known
	statusOverridden bool             // the log has grown although the status is terminal
	ended            bool
	end              EndReason // set once, when the poller ends
	err              error     // likewise

	upstream      UpstreamState
	lastErr       error
	startedAt     time.Time
	lastSuccess   time.Time
	polledAt      time.Time   // start of the last successful poll
	pollRequested atomic.Bool // a cursor waits for the next poll, whatever its result
	interval      time.Duration
	newest        float64 // time of the newest point, in Unix seconds; 0 if unknown
}

// notify wakes the cursors. j.mu must be held.
func (j *journal) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// open records the first read of the log: the window is empty at a position.
func (j *journal) open(at runsource.Position, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.opened, j.atEnd = true, false
	j.origin, j.low, j.high, j.size = at.Origin, at, at, size
	j.notify()
}

// append adds a batch to the window, and drops the oldest ones beyond the limit of a run.
func (j *journal) append(b *logbatch.Batch) {
	b.Retain(&j.hub.bytes, &j.bytes)
	if n := b.Counts.MalformedLines; n > 0 {
		j.hub.malformed.Add(n)
		j.log.Warn("followed log has invalid or oversized lines", slog.Uint64("lines", n), slog.Int64("before_offset", b.To.Offset))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.window = append(j.window, b)
	j.high = b.To
	if j.size >= 0 { // the read of this batch may fail before its end
		j.size = max(j.size, b.To.Offset)
	}
	j.newest = max(j.newest, b.Newest)
	j.trim(j.hub.cfg.MaxRunBytes)
	j.notify()
}

// setEnd records whether the window reaches the end of the log, and its size.
func (j *journal) setEnd(atEnd bool, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.atEnd != atEnd || j.size != size {
		j.atEnd, j.size = atEnd, size
		j.notify()
	}
}

// setPartial sets the unterminated last line of a text log; nil if there is none, or if it
// may still be being written.
func (j *journal) setPartial(line *logbatch.LogLine) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if line == nil || j.partial == nil || *line != *j.partial {
		isNew := line != nil
		j.partial = line
		if isNew {
			j.notify()
		}
	}
}

// trim drops the oldest batches until the limit is met, but not the newest one. j.mu must
// be held.
func (j *journal) trim(limit int64) {
	n := 0
	for n < len(j.window)-1 && j.bytes.Load() > limit {
		j.window[n].Release()
		n++
	}
	if n > 0 {
		j.low = j.window[n].From
		j.window = slices.Delete(j.window, 0, n)
	}
}

// invalidate makes everything delivered invalid. The poller starts over.
func (j *journal) invalidate(reason ResetReason) {
	j.mu.Lock()
	j.dropWindow()
	if j.opened {
		j.epoch++
		j.reset = reason
		j.hub.resets.Add(1)
		j.log.Info("followed log was reset", slog.String("reason", string(reason)))
	}
	j.opened, j.atEnd, j.ended, j.newest, j.partial = false, false, false, 0, nil
	j.origin, j.low, j.high, j.snapshot, j.size = 0, runsource.Position{}, runsource.Position{}, nil, -1
	j.notify()
	j.mu.Unlock()
	j.hub.history.purge(j)
}

// dropWindow drops the window. j.mu must be held.
func (j *journal) dropWindow() {
	for _, b := range j.window {
		b.Release()
	}
	j.window = nil
}

// markGrown records that the log has grown: whatever the status says, the run continues.
func (j *journal) markGrown() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.statusOverridden = j.statusOverridden || j.status.Terminal
	j.ended = false
	j.notify()
}

// setStatus records the status that was read.
func (j *journal) setStatus(status runsource.Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.status != status {
		j.status, j.statusOverridden = status, false
		j.ended = j.ended && status.Terminal
		j.notify()
	}
}

// markEnded records that the run has ended. Cursors report it when they have delivered
// everything.
func (j *journal) markEnded() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.ended = true
		j.notify()
	}
}

// effectiveStatus returns the status that cursors report. j.mu must be held.
func (j *journal) effectiveStatus() runsource.Status {
	if j.status.Terminal && j.statusOverridden && !j.ended {
		return statusRunning
	}
	return j.status
}

// finish ends the journal for all cursors, including those that join concurrently: the hub
// removes it under the lock under which cursors join.
func (j *journal) finish(end EndReason, err error) {
	j.hub.remove(j)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end, j.err = end, err
	j.notify()
}

// recordSuccess and recordFailure record the result of a poll.
func (j *journal) recordSuccess(pollStart time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lastErr != nil {
		j.log.Info("followed run can be read again")
	}
	j.upstream, j.lastErr, j.lastSuccess, j.polledAt = UpstreamOK, nil, time.Now(), pollStart
	if j.pollRequested.Swap(false) {
		j.notify()
	}
}

// staleness returns the time since the last successful poll, or since the journal was
// created.
func (j *journal) staleness() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lastSuccess.IsZero() {
		return time.Since(j.startedAt)
	}
	return time.Since(j.lastSuccess)
}

func (j *journal) recordFailure(state UpstreamState, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.upstream != state {
		j.log.Warn("followed run cannot be read", slog.Any("error", err))
	}
	j.upstream, j.lastErr = state, err
}

// setInterval records the current poll interval.
func (j *journal) setInterval(interval time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.interval = interval
}

// requestPoll makes the poller poll as soon as its interval allows, and verify the head of
// the log if verify is true.
func (j *journal) requestPoll(verify bool) {
	select {
	case j.wake <- verify:
	default:
	}
}

// find returns the batch of the window after a position, nil if the position is the end.
// j.mu must be held, and the position must not be before low.
func (j *journal) find(at runsource.Position) *logbatch.Batch {
	i, _ := slices.BinarySearchFunc(j.window, at, func(b *logbatch.Batch, at runsource.Position) int {
		if at.Before(b.To) {
			return 1
		}
		return -1
	})
	if i == len(j.window) {
		return nil
	}
	return j.window[i]
}
