package search

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// foregroundReads is how many runs of one Viewer are read at once for callers that wait.
const foregroundReads = 4

// viewer is the records of one Viewer's runs, and the queue of those to be read. All of
// it is guarded by Index.mu.
type viewer struct {
	index   *Index
	fleet   *fleet.Viewer
	entries map[string]*entry // by run id
	bytes   int64
	queue   []*job // the newest run last, if sorted
	sorted  bool
	// foreground and background are the workers, and reading those of the foreground that
	// read one run.
	foreground, reading int
	background          bool

	costs     costs
	packing   bool      // the Viewer packs an archive: nothing else is read in the foreground
	noArchive time.Time // until when no archive is tried

	countsMu sync.Mutex // guards what follows
	counted  *restclient.RunList
	counts   map[string]int // how many runs each path of the list has
}

// entry is what is known of one run.
type entry struct {
	record  *Record // nil before it was read
	job     *job    // the one that is queued or being read, nil if none is
	usedAt  int64   // when a Lookup asked for it last, in unix nanoseconds
	reading bool    // a job of it is with a worker
	// err is why it could not be read last, and failedAt when.
	err      error
	errParts Parts // what was to be read then
	failedAt time.Time
}

// job is a run to be read.
type job struct {
	run     Run
	entry   *entry
	parts   Parts
	callers int // that want it now; without any it is background work
	taken   bool
	single  bool          // it is not read in an archive
	parsed  bool          // its points are wanted, too
	done    chan struct{} // closed when record and err are set
	record  *Record
	err     error
}

// viewer returns the Viewer's part of the index. Called with mu held.
func (x *Index) viewer(v *fleet.Viewer) *viewer {
	known, ok := x.viewers[v.Client]
	if !ok {
		known = &viewer{index: x, fleet: v, entries: map[string]*entry{}}
		x.viewers[v.Client] = known
		x.load(known)
	}
	return known
}

// entry returns the entry of a run. Called with mu held.
func (v *viewer) entry(runID string) *entry {
	e, ok := v.entries[runID]
	if !ok {
		e = &entry{}
		v.entries[runID] = e
	}
	return e
}

// isOutdated says that the run has ended, and that its record is of another entry of the
// list. Called with mu held.
func (e *entry) isOutdated(run *Run) bool {
	return runsource.IsTerminal(run.Listed.Status) && (e.record.listed != run.fingerprint() || e.record.identity != run.identity())
}

// isFresh says whether the record needs no reading now. Called with mu held.
func (e *entry) isFresh(run *Run, parts Parts, mode Mode, now time.Time) bool {
	if e.err != nil && now.Sub(e.failedAt) < retryAfter {
		return true
	}
	r := e.record
	readAt := time.Unix(0, r.oldest(parts))
	maxAge := endedAge
	switch {
	case mode == Steady && r.ended && runsource.IsTerminal(run.Listed.Status):
		return true
	case mode == Steady:
		maxAge = min(steadyAge, max(minSteadyAge, readAt.Sub(run.Listed.CreatedTime.Time)))
	case r.listed != run.fingerprint():
		maxAge = 0
	case r.ended && runsource.IsTerminal(run.Listed.Status):
	case r.Origin == runsource.FromMergedTable:
		maxAge = tableAge
	default:
		maxAge = runningAge
	}
	return now.Sub(readAt) < maxAge
}

// retryAfter is how long a run is left alone in the background after it could not be read.
const retryAfter = 10 * time.Second

// isHopeless says that reading the run just failed for what is in it.
func (e *entry) isHopeless(parts Parts, now time.Time) bool {
	return e.err != nil && e.errParts == parts && now.Sub(e.failedAt) < endedAge && IsTooLarge(e.err)
}

// enqueue makes sure that parts of a run will be read. Called with mu held.
func (v *viewer) enqueue(run *Run, e *entry, parts Parts, isAwaited bool) *job {
	j := e.job
	switch {
	case j == nil, j.taken && j.parts&parts != parts:
		// A job that is being read cannot get more parts: another one follows it.
		j = &job{run: *run, entry: e, parts: parts, done: make(chan struct{})}
		if e.record != nil {
			j.parts |= e.record.known & PartMetrics // so that the log is known to be the same
		}
		e.job = j
		v.queue, v.sorted = append(v.queue, j), false
	case !j.taken:
		j.run, j.parts = *run, j.parts|parts
	}
	if isAwaited {
		j.callers++
	}
	return j
}

// startWorkers starts as many workers as there is work for. Called with mu held.
func (v *viewer) startWorkers() {
	if v.index.closed {
		return
	}
	awaited := 0
	for _, j := range v.queue {
		if j.callers > 0 {
			awaited++
		}
	}
	for ; !v.packing && v.foreground < min(foregroundReads, awaited); v.foreground++ {
		v.index.work.Go(v.workForeground)
	}
	if !v.background && len(v.queue) > awaited {
		v.background = true
		v.index.work.Go(v.workBackground)
	}
}

// workForeground reads what callers wait for, until there is nothing left, or until an
// archive must come first.
func (v *viewer) workForeground() {
	x := v.index
	for {
		counts, packs := v.pathCounts(x.ctx)
		x.mu.Lock()
		var j *job
		if !v.packing && x.ctx.Err() == nil {
			j = v.take(true)
		}
		if j != nil && packs && v.costs.logs == 0 && j.parts&PartMetrics == 0 && j.parts != PartSummary {
			v.measure(x.ctx, j)
		}
		var g *group
		if j != nil {
			g = v.takeGroup(j, counts, packs)
		}
		if g != nil && v.reading > 0 { // the last of those that read takes it: it is read alone
			v.putBack(g.jobs...)
			j = nil
		}
		if j == nil {
			v.foreground--
			x.mu.Unlock()
			return
		}
		if v.packing = g != nil; !v.packing {
			v.reading++
		}
		others := v.reading
		x.mu.Unlock()
		ctx, waited := restclient.Yielding(x.ctx)
		if g != nil {
			v.readGroup(ctx, g)
			continue
		}
		start, reader := x.now(), v.reader(j)
		record, err := reader.read(ctx, j.parts)
		v.endSingle((x.now().Sub(start)-waited())/time.Duration(others), reader, err)
		v.publish(j, record, err)
	}
}

// workBackground reads what nobody waits for, within the Viewer's share.
func (v *viewer) workBackground() {
	x := v.index
	for {
		// The job is taken when its turn has come: until then a caller may come to wait for it.
		var j *job
		err := v.fleet.Client.Background(x.ctx, "search", func(ctx context.Context) error {
			x.mu.Lock()
			if j = v.take(false); j == nil {
				v.background = false
				x.mu.Unlock()
				return nil
			}
			x.mu.Unlock()
			record, err := v.reader(j).read(ctx, j.parts)
			v.publish(j, record, err)
			return nil
		})
		if err != nil && j == nil { // the index is closed
			x.mu.Lock()
			v.background = false
			x.mu.Unlock()
		}
		if j == nil {
			return
		}
	}
}

// take takes the next job off the queue: of those that callers wait for the newest run,
// else the one that was read the longest time ago. Called with mu held.
func (v *viewer) take(isAwaited bool) *job {
	if !v.sorted {
		slices.SortStableFunc(v.queue, func(a, b *job) int { return a.run.Listed.CreatedTime.Compare(b.run.Listed.CreatedTime.Time) })
		v.sorted = true
	}
	best := -1
	for i, j := range slices.Backward(v.queue) {
		if (j.callers > 0) != isAwaited || j.entry.reading {
			continue
		}
		if best < 0 || j.age() < v.queue[best].age() {
			best = i
		}
		if isAwaited {
			break
		}
	}
	if best < 0 {
		return nil
	}
	j := v.queue[best]
	v.queue = slices.Delete(v.queue, best, best+1)
	j.taken, j.entry.reading = true, true
	return j
}

// putBack queues jobs that were taken and not read. Called with mu held.
func (v *viewer) putBack(jobs ...*job) {
	for _, j := range jobs {
		j.taken, j.entry.reading = false, false
	}
	v.queue, v.sorted = append(v.queue, jobs...), false
}

// age is when the run was read, 0 if it was not.
func (j *job) age() int64 {
	if j.entry.record == nil {
		return 0
	}
	return j.entry.record.oldest(j.parts)
}

// reader returns what reads a run that was taken.
func (v *viewer) reader(j *job) *runReader {
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	return &runReader{
		run: j.run, old: j.entry.record, parsed: j.parsed, cache: v.index.cfg.Cache, gate: v.index.cfg.Gate, names: v.index.names.share, now: v.index.now,
		src: runsource.Run{Client: v.fleet.Client, Key: runsource.Key{Viewer: v.fleet.Name, RunID: j.run.Listed.ID}},
	}
}

// publish gives the outcome of a job to all.
func (v *viewer) publish(j *job, record *Record, err error) {
	x := v.index
	x.mu.Lock()
	defer x.mu.Unlock()
	j.record, j.err, j.entry.reading = record, err, false
	if j.entry.job == j {
		j.entry.job = nil
	}
	j.entry.err, j.entry.errParts, j.entry.failedAt = err, j.parts, x.now()
	if err == nil {
		v.set(j.entry, record)
		x.markDirty(v, j.run.Listed.ID, j.entry)
		x.evict()
	}
	close(j.done)
	v.startWorkers() // another job may have waited for this one's run
}

// set puts a record into the index. Called with mu held.
func (v *viewer) set(e *entry, r *Record) {
	var diff int64
	if e.record != nil {
		diff -= e.record.bytes()
	}
	diff += r.bytes()
	e.record = r
	v.bytes += diff
	v.index.bytes += diff
}
