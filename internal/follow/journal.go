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

// journalKey names a followed log.
type journalKey struct {
	runsource.Key
	textLog bool
}

// logAttrs names the log in log lines.
func (k journalKey) logAttrs() []any {
	name := "metrics"
	if k.textLog {
		name = "text"
	}
	return []any{slog.String("viewer", k.Viewer), slog.String("run_id", k.RunID), slog.String("log", name)}
}

// logSource is where a journal reads from.
type logSource struct {
	read   runsource.ReadFunc
	status func(ctx context.Context) (runsource.Status, time.Time, error)
	table  runsource.Source    // of metrics that are no file
	stream runsource.LogSource // of a text log that is no file
}

func newMetricLogSource(src runsource.MetricSource) logSource {
	return logSource{read: src.ReadEvents, status: src.Status, table: src}
}

func newTextLogSource(src runsource.LogSource) logSource {
	return logSource{read: src.ReadLog, status: src.Status, stream: src}
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
	hub     *Hub
	key     journalKey
	source  logSource
	limiter *limiter
	log     *slog.Logger
	cursors int             // cursors; guarded by Hub.mu
	ctx     context.Context //nolint:containedctx // ends with the last cursor, and all requests with it
	stop    context.CancelFunc
	wake    chan bool // wakes the poller; true says that something is wrong with the log

	bytes atomic.Int64 // retained in the window

	mu      sync.RWMutex
	changed chan struct{}    // closed and replaced when anything below changes
	epoch   int              // how often what was delivered became void
	reset   ResetReason      // of the last time
	origin  runsource.Origin // 0 until opened
	// opened says that the log has been seen; low, high and what follows hold
	// only then.
	opened bool
	// The window: batches from low to high without a gap.
	low, high runsource.Position
	window    []*logbatch.Batch
	snapshot  *logbatch.Snapshot // of a merged table
	leftOut   eventlog.Counts    // of that table, as it was read last
	partial   *logbatch.LogLine  // of a text log: what stands at high without a newline, if it is at rest
	// atEnd says that high was the end of the log of the last poll.
	atEnd bool
	size  int64 // of the file, half a line at its end included; -1 if unknown

	status           runsource.Status // of the run; the zero Status until it is known
	statusOverridden bool             // the log has grown although the status is terminal
	ended            bool
	end              EndReason // set once and for all, with the poller's end
	err              error     // likewise

	upstream      UpstreamState
	lastErr       error
	startedAt     time.Time
	lastSuccess   time.Time
	polledAt      time.Time   // when the last poll that succeeded began
	pollRequested atomic.Bool // a cursor waits for the next poll, whatever it finds
	interval      time.Duration
	newest        float64
	hasNewest     bool
}

// notify wakes the cursors; called with mu held.
func (j *journal) notify() {
	close(j.changed)
	j.changed = make(chan struct{})
}

// open notes what was seen of the log first: the window is empty and stands at a
// position.
func (j *journal) open(at runsource.Position, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.opened, j.atEnd = true, false
	j.origin, j.low, j.high, j.size = at.Origin, at, at, size
	j.notify()
}

// append adds a batch at the end of the window, and drops the oldest ones beyond
// the bound of a run.
func (j *journal) append(b *logbatch.Batch) {
	b.Retain(&j.hub.bytes, &j.bytes)
	if n := b.Counts.MalformedLines; n > 0 {
		j.hub.malformed.Add(n)
		j.log.Warn("followed log has lines that are no JSON or too long", slog.Uint64("lines", n), slog.Int64("before_offset", b.To.Offset))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.window = append(j.window, b)
	j.high = b.To
	if j.size >= 0 { // the read that it came with may fail before its end
		j.size = max(j.size, b.To.Offset)
	}
	if b.HasNewest && (!j.hasNewest || b.Newest > j.newest) {
		j.newest, j.hasNewest = b.Newest, true
	}
	j.trim(j.hub.cfg.MaxRunBytes)
	j.notify()
}

// SetEnd notes that the window reaches to the end of a log of a size.
func (j *journal) setEnd(atEnd bool, size int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.atEnd != atEnd || j.size != size {
		j.atEnd, j.size = atEnd, size
		j.notify()
	}
}

// setPartial notes the last line of a text log that has no newline yet; nil if there is none,
// or if it may be being written.
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

// trim drops the oldest batches until a bound is kept; called with mu held. The
// newest one stays.
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

// invalidate makes everything that was delivered void. The poller begins again.
func (j *journal) invalidate(reason ResetReason) {
	j.mu.Lock()
	j.dropWindow()
	if j.opened {
		j.epoch++
		j.reset = reason
		j.hub.resets.Add(1)
		j.log.Info("followed log was reset", slog.String("reason", reason.String()))
	}
	j.opened, j.atEnd, j.ended, j.hasNewest, j.partial = false, false, false, false, nil
	j.origin, j.low, j.high, j.snapshot, j.size = 0, runsource.Position{}, runsource.Position{}, nil, -1
	j.notify()
	j.mu.Unlock()
	j.hub.history.purge(j)
}

// dropWindow drops the window; called with mu held.
func (j *journal) dropWindow() {
	for _, b := range j.window {
		b.Release()
	}
	j.window = nil
}

// markGrown notes that the log has grown: whatever the status says, the run continues.
func (j *journal) markGrown() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.statusOverridden = j.statusOverridden || j.status.Terminal
	j.ended = false
	j.notify()
}

// setStatus notes the status that was read.
func (j *journal) setStatus(status runsource.Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.status != status {
		j.status, j.statusOverridden = status, false
		j.ended = j.ended && status.Terminal
		j.notify()
	}
}

// markEnded notes that the run has ended. Whoever has read everything is told so.
func (j *journal) markEnded() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.ended {
		j.ended = true
		j.notify()
	}
}

// effectiveStatus is the status that cursors tell; called with mu held.
func (j *journal) effectiveStatus() runsource.Status {
	if j.status.Terminal && j.statusOverridden && !j.ended {
		return statusRunning
	}
	return j.status
}

// finish ends the journal for all cursors, and those who join at this moment: the
// hub forgets it under the same lock under which they join.
func (j *journal) finish(end EndReason, err error) {
	j.hub.remove(j)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.end, j.err = end, err
	j.notify()
}

// recordSuccess and recordFailure note the result of a poll.
func (j *journal) recordSuccess(pollStart time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.lastErr != nil {
		j.log.Info("followed run is read again")
	}
	j.upstream, j.lastErr, j.lastSuccess, j.polledAt = UpstreamOK, nil, time.Now(), pollStart
	if j.pollRequested.Swap(false) {
		j.notify()
	}
}

// staleness is the time since the last successful poll, or since the journal was made.
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

// setInterval notes the interval that is kept.
func (j *journal) setInterval(interval time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.interval = interval
}

// requestVerifiedPoll makes the poller poll, head included, as soon as its interval allows.
func (j *journal) requestVerifiedPoll() { j.sendWake(true) }

// requestPoll makes the poller poll as soon as its interval allows.
func (j *journal) requestPoll() { j.sendWake(false) }

func (j *journal) sendWake(needsVerify bool) {
	select {
	case j.wake <- needsVerify:
	default:
	}
}

// find returns the batch of the window that has what follows a position, nil if the
// position is the end; called with mu held, and only if the position is not before low.
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
