// Package search knows of every run what filters and orders ask for: sums of its metrics,
// times, summary and configuration, each read once and then extended by what is new.
//
// Nothing is read before a Lookup needs it. What a Lookup waits for is read in the
// foreground, the newest runs first and a few at a time for each Viewer, for all callers
// together. What is known already is used as it is and refreshed behind, in the
// background and within the Viewer's share; an answer says how old it is.
//
// It must not know gRPC, protobuf or the contract.
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
)

// How old a record may be before it is read again in the background.
const (
	// runningAge is for runs that run and have an event file.
	runningAge = time.Second
	// tableAge is for runs that run on Viewers that have merged tables only, which they
	// compute as a whole.
	tableAge = time.Minute
	// minSteadyAge and steadyAge are for runs that run, where a Lookup is Steady: as old as
	// the run itself was when it was read, within these bounds.
	minSteadyAge, steadyAge = 5 * time.Second, 2 * time.Minute
	// endedAge is for runs that have ended: they may be reopened, which 0.7.2 does not list.
	endedAge = 10 * time.Minute
)

// defaultBytes bounds the memory of all records where Config says nothing.
const defaultBytes = 256 << 20

// Config is what an Index works with. Cache is required.
type Config struct {
	// Cache parses runs whose steps are not in order.
	Cache *runcache.Cache
	// Gate bounds parsing; nil does not.
	Gate *cpugate.Gate
	// MaxBytes bounds the memory of all records: 256 MiB if 0.
	MaxBytes int64
	// StateFile is where records are kept between two lives of the process; in memory
	// only if it is empty. StateBytes bounds what it holds: 256 MiB if 0.
	StateFile  string
	StateBytes int64
	// Log hears why records are in memory only; nil is allowed.
	Log *slog.Logger
}

// Index is what is known of the runs of all Viewers. It is safe for concurrent use. Make
// it with New and end it with Close.
type Index struct {
	cfg   Config
	now   func() time.Time // the clock, which tests move
	names interner

	ctx  context.Context //nolint:containedctx // of all reads: they belong to the index, not to a call
	stop context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex // guards what follows, and the queues of the Viewers
	closed  bool
	viewers map[*restclient.Client]*viewer
	bytes   int64
	store   *store            // nil if records are in memory only
	opened  bool              // the file was opened, or could not be
	dirty   map[*entry]stored // what is to be written
	flusher bool              // somebody writes it
}

// Run is a run of a Viewer's list.
type Run struct {
	Viewer *fleet.Viewer
	Listed *restclient.Run
}

// identity changes when the run's log may be another one.
func (r *Run) identity() uint64 {
	h := fingerprint(offset64)
	return h.text(r.Listed.ID).text(r.Listed.Dir).number(uint64(r.Listed.CreatedTime.UnixNano())).sum()
}

// fingerprint changes with what the list says of the run's progress.
func (r *Run) fingerprint() uint64 {
	l, h := r.Listed, fingerprint(offset64)
	h = h.text(l.Dir).text(l.Status.Value).text(l.BestMetricName.Value).number(math.Float64bits(l.BestMetricValue.Value))
	return h.number(uint64(l.PID.Value)).number(uint64(l.Assets.Value)).number(uint64(l.CreatedTime.UnixNano())).sum()
}

// Version changes with everything that the list says of the run.
func (r *Run) Version() uint64 {
	return fingerprint(offset64).number(r.identity()).number(r.fingerprint()).sum()
}

// fingerprint is an FNV-1a hash in the making. All runs are hashed for each answer, so it
// must not allocate.
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

// ErrClosed says that the Index was closed.
var ErrClosed = errors.New("the search index is closed")

// New returns an index that knows what its file knows. It reads nothing from Viewers.
func New(cfg Config) *Index {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, defaultBytes)
	x := &Index{cfg: cfg, now: time.Now, viewers: map[*restclient.Client]*viewer{}, dirty: map[*entry]stored{}}
	x.ctx, x.stop = context.WithCancel(context.Background())
	return x
}

// Close ends all reads and waits for them.
func (x *Index) Close() {
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.stop()
	x.work.Wait()
	x.flush()
	if x.store != nil {
		if err := x.store.close(); err != nil {
			x.cfg.Log.Warn("close the search state", slog.Any("error", err))
		}
	}
}

// Result is the answer of a Lookup, in the order of its runs.
type Result struct {
	// Records are nil for runs that could not be read.
	Records []*Record
	// Errs are why.
	Errs []error
	// Oldest is when the oldest of what the records have was read; zero if there is none.
	Oldest time.Time
}

// ErrNotYet is the error of a run that has not been read yet, where a Lookup does not wait.
var ErrNotYet = errors.New("it has not been read yet")

// Mode says what a Lookup does about runs that are not known yet.
type Mode uint8

const (
	// Wait reads them in the foreground, and waits until ctx ends.
	Wait Mode = iota
	// Want reads them in the foreground and does not wait.
	Want
	// Known reads them in the background and does not wait.
	Known
	// Steady is Wait for callers that ask often, and not for what only changes while a
	// run runs. What is known of a run that has ended is used without looking again until
	// the list says another thing of it, and then waited for. What is known of one that
	// runs is refreshed behind at growing intervals. A run that was never read is read
	// into the cache of parsed runs, for these callers go on to read its points.
	Steady
	// Again is Wait for what is known, too: the files are to pass by once more.
	Again
)

// Lookup returns what is known of runs, and reads what is not. Runs that could not be read
// have an error, those that were not waited for ErrNotYet. The error of the call itself is
// ErrClosed.
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

// wait is one run that a Lookup waits for.
type wait struct {
	at  int // its index in the result
	job *job
}

// begin finds the records that there are, and asks for the others.
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
			res.Records[i] = e.record // if it cannot be read now
			waits = append(waits, wait{i, v.enqueue(run, e, e.record.known, true)})
		case e.record.Has(parts) && e.record.identity == run.identity():
			res.Records[i] = e.record
			if !e.isFresh(run, parts, mode, now) {
				v.enqueue(run, e, e.record.known, false)
			}
		case e.isHopeless(parts, now):
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

// await waits for runs that are being read.
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

// set notes what came of a run that was waited for. After an error an outdated record is
// still the answer.
func (r *Result) set(i int, record *Record, err error) {
	switch {
	case err == nil:
		r.Records[i], r.Errs[i] = record, nil
	case r.Records[i] == nil:
		r.Errs[i] = err
	}
}

// Stats says how far an index has come with a Viewer.
type Stats struct {
	// Runs were asked for, Digested were read, and Waiting are still to be read or
	// read again.
	Runs, Digested, Waiting int
	// Bytes is the memory of the records.
	Bytes int64
	// Oldest is when the oldest part of a record was read; zero if there is none.
	Oldest time.Time
}

// Stats returns what is known of a Viewer's runs.
func (x *Index) Stats(v *fleet.Viewer) Stats {
	x.mu.Lock()
	defer x.mu.Unlock()
	var s Stats
	if known, ok := x.viewers[v.Client]; ok {
		s.add(known)
	}
	return s
}

// Total returns what is known of all runs.
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

// interner shares equal texts among runs.
type interner struct {
	mu    sync.Mutex
	known map[string]string
}

// maxNames bounds the shared texts. Beyond it they begin anew.
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
	own := string(append([]byte(nil), s...)) // not a piece of a longer text
	n.known[own] = own
	return own
}
