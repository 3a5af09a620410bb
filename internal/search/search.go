// Package search is an index of the data that filters and orders of runs use: aggregates of
// metrics, times, summary and configuration. Each run is read once, and then extended by what
// was appended.
//
// Nothing is read before a Lookup needs it. Runs that a Lookup waits for are read in the
// foreground, the newest first and a few per Viewer concurrently, with one read for all
// callers. Known records are used immediately and refreshed in the background, within the
// Viewer's share; a Result has their age.
//
// The package must not depend on gRPC, protobuf or the contract.
package search

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search/statefile"
)

// The age at which a record is refreshed in the background.
const (
	// runningTTL is for running runs that have an event file.
	runningTTL = time.Second
	// tableTTL is for running runs of Viewers that serve merged tables only: they compute the
	// whole table for each request.
	tableTTL = time.Minute
	// minSteadyTTL and maxSteadyTTL bound the age for running runs in the mode Steady. Between
	// them it is the age of the run when it was last read.
	minSteadyTTL, maxSteadyTTL = 5 * time.Second, 2 * time.Minute
	// endedTTL is for runs that have ended: they may be reopened, which the list of 0.7.2
	// does not show.
	endedTTL = 10 * time.Minute
)

// defaultBytes is the default of Config.MaxBytes and Config.StateBytes.
const defaultBytes = 256 << 20

// Config configures an Index. Cache is required.
type Config struct {
	// Cache parses runs whose steps are not in ascending order.
	Cache *runcache.Cache
	// Gate limits concurrent parsing; nil means no limit.
	Gate *cpugate.Gate
	// MaxBytes bounds the memory of all records; 0 means 256 MiB.
	MaxBytes int64
	// StateFile is the file that stores records between restarts; if empty, they are in
	// memory only. StateBytes bounds the size of its content; 0 means 256 MiB.
	StateFile  string
	StateBytes int64
	// Log receives the reasons why records are in memory only; nil discards them.
	Log *slog.Logger
}

// Index has the records of the runs of all Viewers. It is safe for concurrent use. Create it
// with New, and release it with Close.
type Index struct {
	cfg   Config
	now   func() time.Time // the clock; replaced by tests
	names interner

	ctx  context.Context //nolint:containedctx // of all reads, which the index owns, not a call
	stop context.CancelFunc
	work sync.WaitGroup

	mu       sync.Mutex // guards what follows, and the queues of the Viewers
	closed   bool
	viewers  map[*restclient.Client]*viewer
	bytes    int64
	store    *statefile.File   // nil if records are in memory only
	opened   bool              // opening the file was attempted
	dirty    map[*entry]stored // records to be written
	flushing bool              // a goroutine writes them
}

// Run is one run in the list of a Viewer.
type Run struct {
	Viewer *fleet.Viewer
	Listed *restclient.Run
}

// identity changes when the run may have another log.
func (r *Run) identity() uint64 {
	h := fingerprint(offset64)
	return h.text(r.Listed.ID).text(r.Listed.Dir).number(uint64(r.Listed.CreatedTime.UnixNano())).sum()
}

// fingerprint changes with the fields of the list that change while a run makes progress.
func (r *Run) fingerprint() uint64 {
	l, h := r.Listed, fingerprint(offset64)
	h = h.text(l.Dir).text(l.Status.Value).text(l.BestMetricName.Value).number(math.Float64bits(l.BestMetricValue.Value))
	return h.number(uint64(l.PID.Value)).number(uint64(l.Assets.Value)).number(uint64(l.CreatedTime.UnixNano())).sum()
}

// Version changes with every field of the list that the index uses.
func (r *Run) Version() uint64 {
	return fingerprint(offset64).number(r.identity()).number(r.fingerprint()).sum()
}

// fingerprint is an FNV-1a hash under construction. All runs are hashed for each response, so
// it must not allocate.
type fingerprint uint64

const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

func (h fingerprint) text(s string) fingerprint {
	for i := range len(s) {
		h = (h ^ fingerprint(s[i])) * prime64
	}
	return h.number(uint64(len(s)))
}

func (h fingerprint) number(n uint64) fingerprint {
	return (h ^ fingerprint(n^n>>32)) * prime64
}

func (h fingerprint) sum() uint64 { return uint64(h ^ h>>29) }

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the search index is closed")

// New returns an index. Its file is opened by the first Lookup, and nothing is read from
// Viewers before.
func New(cfg Config) *Index {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, defaultBytes)
	x := &Index{cfg: cfg, now: time.Now, viewers: map[*restclient.Client]*viewer{}, dirty: map[*entry]stored{}}
	x.ctx, x.stop = context.WithCancel(context.Background())
	return x
}

// Close cancels all reads, waits for them, and writes what is not written yet.
func (x *Index) Close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.stop()
	x.work.Wait()
	x.flush()
	if x.store != nil {
		if err := x.store.Close(); err != nil {
			x.cfg.Log.Warn("close the search state", slog.Any("error", err))
		}
	}
}

// Result is the result of a Lookup, in the order of its runs.
type Result struct {
	// Records has nil for runs that could not be read.
	Records []*Record
	// Errs has the errors of those runs.
	Errs []error
	// Oldest is when the oldest requested part of the records was read; zero if there is none.
	Oldest time.Time
}

// ErrNotYet is the error of a run that has not been read yet, if the Lookup does not wait.
var ErrNotYet = errors.New("it has not been read yet")

// Mode selects what a Lookup does with runs that are not known yet.
type Mode uint8

const (
	// Wait reads them in the foreground and waits for them, until ctx is done.
	Wait Mode = iota
	// Want reads them in the foreground, without waiting.
	Want
	// Known reads them in the background, without waiting.
	Known
	// Steady is Wait for callers that poll and accept older data of running runs. The record
	// of an ended run is used without a refresh until its list entry changes; then the Lookup
	// waits for the refresh. The record of a running run is refreshed in the background at
	// growing intervals. A run that was never read is read into the cache of parsed runs,
	// because these callers read its points next.
	Steady
	// Again is Wait that also reads known runs again, so that their files pass through the
	// client once more.
	Again
)

// Lookup returns the records of runs, and reads those that are missing. Runs that could not
// be read have an error, and runs that were not waited for have ErrNotYet. The only error of
// the call itself is ErrClosed.
func (x *Index) Lookup(ctx context.Context, runs []Run, parts Parts, mode Mode) (*Result, error) {
	res := &Result{Records: make([]*Record, len(runs)), Errs: make([]error, len(runs))}
	waits, err := x.begin(runs, parts, mode, res)
	if err != nil {
		return nil, err
	}
	x.await(ctx, waits, res)
	var oldest int64
	for _, r := range res.Records {
		if r != nil {
			if at := r.oldest(parts); oldest == 0 || at < oldest {
				oldest = at
			}
		}
	}
	if oldest != 0 {
		res.Oldest = time.Unix(0, oldest)
	}
	return res, nil
}

// wait is a run that a Lookup waits for.
type wait struct {
	at  int // index in the result
	job *job
}

// begin sets the records that are known, and enqueues reads of the others and of outdated
// ones.
func (x *Index) begin(runs []Run, parts Parts, mode Mode, res *Result) (waits []wait, err error) {
	now := x.now()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return nil, ErrClosed
	}
	for i := range runs {
		run := &runs[i]
		v := x.viewer(run.Viewer)
		e := v.entry(run.Listed.ID)
		e.usedAt = now.UnixNano()
		switch {
		case mode == Again:
			waits = append(waits, wait{i, v.enqueue(run, e, parts, true)})
		case mode == Steady && e.record.Has(parts) && e.isOutdated(run):
			res.Records[i] = e.record // used if the read fails
			waits = append(waits, wait{i, v.enqueue(run, e, e.record.known, true)})
		case e.record.Has(parts) && e.record.identity == run.identity():
			res.Records[i] = e.record
			if !e.isFresh(run, parts, mode, now) {
				v.enqueue(run, e, e.record.known, false)
			}
		case e.wasTooLarge(parts, now):
			res.Errs[i] = e.err
		default:
			j := v.enqueue(run, e, parts, mode != Known)
			j.parsed = j.parsed || mode == Steady
			if res.Errs[i] = ErrNotYet; mode == Wait || mode == Steady {
				waits = append(waits, wait{i, j})
			}
		}
	}
	for _, v := range x.viewers {
		v.startWorkers()
	}
	return waits, nil
}

// await waits for queued reads. If ctx ends first, it withdraws the caller from all of them.
func (x *Index) await(ctx context.Context, waits []wait, res *Result) {
	for _, w := range waits {
		select {
		case <-w.job.done:
			res.set(w.at, w.job.record, w.job.err)
		case <-ctx.Done():
			res.set(w.at, nil, ctx.Err())
		case <-x.ctx.Done():
			res.set(w.at, nil, ErrClosed)
		}
	}
	if ctx.Err() == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, w := range waits {
		w.job.callers--
	}
}

// set sets the outcome of a read. If it failed, an outdated record remains the result.
func (r *Result) set(i int, record *Record, err error) {
	switch {
	case err == nil:
		r.Records[i], r.Errs[i] = record, nil
	case r.Records[i] == nil:
		r.Errs[i] = err
	}
}

// Stats is the progress of an index.
type Stats struct {
	// Runs is the number of runs that were looked up, Digested of those that were read, and
	// Waiting of queued reads.
	Runs, Digested, Waiting int
	// Bytes is the memory of the records.
	Bytes int64
	// Oldest is when the oldest part of a record was read; zero if there is none.
	Oldest time.Time
}

// Stats returns the progress with one Viewer.
func (x *Index) Stats(v *fleet.Viewer) Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	var s Stats
	if known, ok := x.viewers[v.Client]; ok {
		s.add(known)
	}
	return s
}

// Total returns the progress with all Viewers.
func (x *Index) Total() Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	var s Stats
	for _, v := range x.viewers {
		s.add(v)
	}
	return s
}

func (s *Stats) add(v *viewer) {
	s.Runs += len(v.entries)
	s.Waiting += len(v.queue)
	s.Bytes += v.bytes
	for _, e := range v.entries {
		if e.record == nil {
			continue
		}
		s.Digested++
		if at := time.Unix(0, e.record.oldest(e.record.known)); s.Oldest.IsZero() || at.Before(s.Oldest) {
			s.Oldest = at
		}
	}
}

// interner shares equal strings among runs.
type interner struct {
	mu    sync.Mutex
	known map[string]string
}

// maxNames bounds the shared strings. When it is reached, the set is cleared.
const maxNames = 1 << 17

func (n *interner) share(s string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known, ok := n.known[s]; ok {
		return known
	}
	if n.known == nil || len(n.known) >= maxNames {
		n.known = map[string]string{}
	}
	own := string(append([]byte(nil), s...)) // a copy, which does not keep a longer string in memory
	n.known[own] = own
	return own
}
