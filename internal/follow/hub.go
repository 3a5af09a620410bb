// Package follow polls the runs that clients follow and retains the newest part of their
// logs, so that many readers cost a Viewer as much as one.
//
// The path of a point: the poller of a run (poller.go, poller_read.go) waits for a slot in
// the limiter of the Viewer (limiter.go), reads what was appended (poller_file.go,
// line_reader.go) or the difference of the merged table (poller_table.go), makes batches of
// it, and appends them to the journal (journal.go). A Cursor (cursor.go, cursor_resolve.go)
// is a position in the log: it takes the next batch from the journal, or from the history
// that late cursors share (history.go), and reports the state of the run.
//
// All waiting uses timers of package time, so that tests can use testing/synctest.
package follow

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// HubConfig configures a Hub. The zero HubConfig is valid.
type HubConfig struct {
	// MaxBytes limits the memory retained for all followed runs together, encodings
	// included (128 MiB if 0), and MaxRunBytes that of one run (16 MiB). The newest batch
	// of a run is never dropped.
	MaxBytes, MaxRunBytes int64
	// HistoryBytes limits the parsed history that late cursors share: 64 MiB if 0.
	HistoryBytes int64
	// MinInterval is the interval between two polls of a run, if the Viewer's share allows
	// it: 0.2 s if 0. MaxInterval is the longest interval, for a run that has ended or
	// whose Viewer fails: 5 s if 0.
	MinInterval, MaxInterval time.Duration
	// EndGrace is how long a log must be idle before its run has ended: 5 s if 0.
	EndGrace time.Duration
	// UnreachableAfter is how long a Viewer may fail before its cursors do: 10 min if 0, no
	// limit if negative.
	UnreachableAfter time.Duration
	// ClassifyError maps an error of a Source to the state that clients see, and how long
	// not to poll the Viewer; if nil, every error is UpstreamFailing.
	ClassifyError func(error) (state UpstreamState, retryAfter time.Duration)
	// Log gets one line when a run can no longer be read, can be read again, or has its log
	// replaced; nil logs nothing.
	Log *slog.Logger
}

// Throttle admits background work to a Viewer within its share. A *restclient.Client is
// one.
type Throttle interface {
	// Background runs work when the share allows it. key names a kind of work with similar
	// cost from call to call.
	Background(ctx context.Context, key string, work func(context.Context) error) error
}

// Hub follows runs. For each followed run it has one journal, which retains the newest part
// of the log, and one poller that fills the journal. It is safe for concurrent use. Create
// it with NewHub and end it with Close.
type Hub struct {
	cfg      HubConfig
	ctx      context.Context //nolint:containedctx // ends all pollers; canceled by Close
	cancel   context.CancelFunc
	inFlight sync.WaitGroup
	history  history
	bytes    atomic.Int64 // retained in all windows

	resets, malformed atomic.Uint64 // since the hub was created

	mu       sync.Mutex // guards the fields below; never locked while a journal's is held
	closed   bool
	journals map[journalKey]*journal
	limiters map[string]*limiter // by Viewer
}

// HubStats is the current state of a Hub.
type HubStats struct {
	// Runs is the number of followed logs, Cursors that of their readers.
	Runs, Cursors int
	// Bytes is the memory retained for them, HistoryBytes that of the shared history.
	Bytes, HistoryBytes int64
	// Stale is the longest time since the last successful poll among the followed logs. A
	// log is polled at least every MaxInterval.
	Stale time.Duration
	// Resets and MalformedLines are counted since the Hub was created.
	Resets, MalformedLines uint64
}

// NewHub returns a Hub without followed runs.
func NewHub(cfg HubConfig) *Hub {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 128<<20)
	cfg.MaxRunBytes = cmp.Or(cfg.MaxRunBytes, 16<<20)
	cfg.MinInterval = cmp.Or(cfg.MinInterval, time.Second/5)
	cfg.MaxInterval = max(cmp.Or(cfg.MaxInterval, 5*time.Second), cfg.MinInterval)
	cfg.EndGrace = cmp.Or(cfg.EndGrace, 5*time.Second)
	cfg.UnreachableAfter = cmp.Or(cfg.UnreachableAfter, 10*time.Minute)
	if cfg.ClassifyError == nil {
		cfg.ClassifyError = func(error) (UpstreamState, time.Duration) { return UpstreamFailing, 0 }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	h := &Hub{
		cfg: cfg, journals: make(map[journalKey]*journal), limiters: make(map[string]*limiter),
		history: history{maxBytes: cmp.Or(cfg.HistoryBytes, 64<<20)},
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Follow returns a cursor over the metrics of a run. It does not wait: the cursor reports
// whether the run exists and whether the start is a valid position. The throttle may be
// nil. Source and throttle of a run's first cursor are used as long as the run has cursors.
// The error is ErrHubClosed.
func (h *Hub) Follow(key runsource.Key, source runsource.Source, throttle Throttle, start runsource.Position, until Until) (*Cursor, error) {
	return h.join(journalKey{Key: key}, newMetricLogSource(source), throttle, start, until)
}

// FollowLog returns a cursor over the text log of a run, like Follow.
func (h *Hub) FollowLog(key runsource.Key, source runsource.LogSource, throttle Throttle, start runsource.Position, until Until) (*Cursor, error) {
	return h.join(journalKey{Key: key, textLog: true}, newTextLogSource(source), throttle, start, until)
}

// Stats returns the current state of the hub.
func (h *Hub) Stats() HubStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	stats := HubStats{
		Runs: len(h.journals), Bytes: h.bytes.Load(), HistoryBytes: h.history.bytes.Load(),
		Resets: h.resets.Load(), MalformedLines: h.malformed.Load(),
	}
	for _, j := range h.journals {
		stats.Cursors += j.cursors
		stats.Stale = max(stats.Stale, j.staleness())
	}
	return stats
}

// Close ends all pollers and waits for them. Cursors then return ErrHubClosed.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.cancel()
	h.inFlight.Wait()
	h.history.reads.Close()
}

// join finds or creates the journal of a log and returns a cursor over it.
func (h *Hub) join(key journalKey, source logSource, throttle Throttle, start runsource.Position, until Until) (*Cursor, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrHubClosed
	}
	j, ok := h.journals[key]
	if !ok {
		j = h.startJournal(key, source, throttle)
	}
	j.cursors++
	return newCursor(j, start, until), nil
}

// startJournal creates a journal and starts its poller. h.mu must be held.
func (h *Hub) startJournal(key journalKey, source logSource, throttle Throttle) *journal {
	l, ok := h.limiters[key.Viewer]
	if !ok {
		l = newLimiter(throttle)
		h.limiters[key.Viewer] = l
	}
	l.journals++
	j := &journal{
		hub: h, key: key, source: source, limiter: l, log: h.cfg.Log.With(key.logAttrs()...), size: -1, interval: h.cfg.MinInterval,
		wake: make(chan bool, 1), changed: make(chan struct{}), startedAt: time.Now(),
	}
	j.ctx, j.stop = context.WithCancel(h.ctx)
	h.journals[key] = j
	h.inFlight.Go(func() {
		defer j.shutdown()
		(&poller{j: j, cfg: &h.cfg}).run()
	})
	return j
}

// leave removes a cursor from its journal. The last one stops the poller.
func (h *Hub) leave(j *journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if j.cursors--; j.cursors > 0 {
		return
	}
	j.stop()
	if h.journals[j.key] == j {
		delete(h.journals, j.key)
	}
}

// remove removes a journal from the hub: later cursors get a new one.
func (h *Hub) remove(j *journal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.journals[j.key] == j {
		delete(h.journals, j.key)
	}
}

// shutdown runs at the end of a journal's poller.
func (j *journal) shutdown() {
	h := j.hub
	h.mu.Lock()
	if j.limiter.journals--; j.limiter.journals == 0 && h.limiters[j.key.Viewer] == j.limiter {
		delete(h.limiters, j.key.Viewer)
	}
	h.mu.Unlock()
	<-j.ctx.Done() // an ended journal keeps what its cursors have still to read
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dropWindow()
	j.snapshot = nil
	h.history.purge(j)
}

// evict enforces the limit for all windows together by shrinking the largest. Pollers call
// it after appending, without locks.
func (h *Hub) evict() {
	for h.bytes.Load() > h.cfg.MaxBytes {
		h.mu.Lock()
		var largest *journal
		for _, j := range h.journals {
			if largest == nil || j.bytes.Load() > largest.bytes.Load() {
				largest = j
			}
		}
		h.mu.Unlock()
		if largest == nil || !largest.evictHalf() {
			return
		}
	}
}

// evictHalf drops the older half of the window, and reports whether there was one.
func (j *journal) evictHalf() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	before := len(j.window)
	j.trim(j.bytes.Load() / 2)
	return len(j.window) < before
}
