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

// viewer has the records of one Viewer's runs, and the queue of reads. Index.mu guards all
// fields except the last three.
type viewer struct {
	index   *Index
	fleet   *fleet.Viewer
	entries map[string]*entry // by run id
	bytes   int64
	queue   []*job // if sorted, by creation time in ascending order
	sorted  bool
	// foreground is the number of foreground workers. reading is the number of those that are
	// reading a single run. background is true while the background worker runs.
	foreground, reading int
	background          bool

	costs            costs
	packing          bool      // the Viewer packs an archive: no other foreground read is started
	archiveRetryTime time.Time // no archive is requested before this time

	countsMu sync.Mutex // guards the following fields
	counted  *restclient.RunList
	counts   map[string]int // number of runs at or below each path of the list
}

// entry is the state of one run.
type entry struct {
	record  *Record // nil before the first read
	job     *job    // the one that is queued or being read; nil if there is none
	usedAt  int64   // time of the last Lookup, in Unix nanoseconds
	reading bool    // a worker has a job of it
	// err is the error of the last read, errParts what it was to read, and failedAt its time.
	err      error
	errParts Parts
	failedAt time.Time
}

// job is a queued read of a run.
type job struct {
	run      Run
	entry    *entry
	parts    Parts
	callers  int // number of waiting callers; 0 makes it a background job
	dequeued bool
	single   bool          // not to be read from an archive
	parsed   bool          // its points are needed too
	done     chan struct{} // closed after record and err are set
	record   *Record
	err      error
}

// viewer returns the state of a Viewer, and creates it if needed. Called with mu held.
func (x *Index) viewer(v *fleet.Viewer) *viewer {
	known, ok := x.viewers[v.Client]
	if !ok {
		known = &viewer{index: x, fleet: v, entries: map[string]*entry{}}
		x.viewers[v.Client] = known
		x.load(known)
	}
	return known
}

// entry returns the entry of a run, and creates it if needed. Called with mu held.
func (v *viewer) entry(runID string) *entry {
	e, ok := v.entries[runID]
	if !ok {
		e = &entry{}
		v.entries[runID] = e
	}
	return e
}

// isOutdated reports whether the run has ended and its list entry has changed since the
// record was read. Called with mu held.
func (e *entry) isOutdated(run *Run) bool {
	return runsource.IsTerminal(run.Listed.Status) && (e.record.listed != run.fingerprint() || e.record.identity != run.identity())
}

// isFresh reports whether the record needs no refresh now. Called with mu held.
func (e *entry) isFresh(run *Run, parts Parts, mode Mode, now time.Time) bool {
	if e.err != nil && now.Sub(e.failedAt) < retryAfter {
		return true
	}
	r := e.record
	readAt := time.Unix(0, r.oldest(parts))
	maxAge := endedTTL
	switch {
	case mode == Steady && r.ended && runsource.IsTerminal(run.Listed.Status):
		return true
	case mode == Steady:
		maxAge = min(maxSteadyTTL, max(minSteadyTTL, readAt.Sub(run.Listed.CreatedTime.Time)))
	case r.listed != run.fingerprint():
		maxAge = 0
	case r.ended && runsource.IsTerminal(run.Listed.Status):
	case r.Origin == runsource.FromMergedTable:
		maxAge = tableTTL
	default:
		maxAge = runningTTL
	}
	return now.Sub(readAt) < maxAge
}

// retryAfter is the minimum delay between a failed read and the next background read of the
// run.
const retryAfter = 10 * time.Second

// wasTooLarge reports whether the last read found that the run is too large. The content of a
// run, not the Viewer, is the cause, so it is not read again before endedTTL.
func (e *entry) wasTooLarge(parts Parts, now time.Time) bool {
	return e.err != nil && e.errParts == parts && now.Sub(e.failedAt) < endedTTL && IsTooLarge(e.err)
}

// enqueue makes sure that a queued job reads parts of a run. Called with mu held.
func (v *viewer) enqueue(run *Run, e *entry, parts Parts, isAwaited bool) *job {
	j := e.job
	switch {
	case j == nil, j.dequeued && j.parts&parts != parts:
		// Parts cannot be added to a job that a worker has: a second job follows it.
		j = &job{run: *run, entry: e, parts: parts, done: make(chan struct{})}
		if e.record != nil {
			j.parts |= e.record.known & PartMetrics // to detect another log
		}
		e.job = j
		v.queue, v.sorted = append(v.queue, j), false
	case !j.dequeued:
		j.run, j.parts = *run, j.parts|parts
	}
	if isAwaited {
		j.callers++
	}
	return j
}

// startWorkers starts the workers that the queue needs. Called with mu held.
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
	for limit := min(v.costs.maxReads(), awaited); !v.packing && v.foreground < limit; v.foreground++ {
		v.index.work.Go(v.workForeground)
	}
	if !v.background && len(v.queue) > awaited {
		v.background = true
		v.index.work.Go(v.workBackground)
	}
}

// workForeground reads runs that callers wait for, until there are none, or until an archive
// must be read first.
func (v *viewer) workForeground() {
	x := v.index
	for {
		counts, packs := v.pathCounts(x.ctx)
		x.mu.Lock()
		var j *job
		if !v.packing && v.foreground <= v.costs.maxReads() && x.ctx.Err() == nil {
			j = v.dequeue(true)
		}
		if j != nil && packs && v.costs.logs == 0 && j.parts&PartMetrics == 0 && j.parts != PartSummary {
			v.measure(x.ctx, j)
		}
		var g *group
		if j != nil {
			g = v.dequeueGroup(j, counts, packs)
		}
		if g != nil && v.reading > 0 { // an archive is read alone: the last of the reading workers takes it
			v.requeue(g.jobs...)
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

// workBackground reads runs that no caller waits for, within the Viewer's share.
func (v *viewer) workBackground() {
	x := v.index
	for {
		// The job is dequeued only after the share permits it, because until then a caller
		// may start to wait for it.
		var j *job
		err := v.fleet.Client.Background(x.ctx, "search", func(ctx context.Context) error {
			x.mu.Lock()
			if j = v.dequeue(false); j == nil {
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

// dequeue removes and returns a job: with isAwaited, that of the newest run that callers wait
// for, and otherwise that of the run that was read the longest time ago. Called with mu held.
func (v *viewer) dequeue(isAwaited bool) *job {
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
	j.dequeued, j.entry.reading = true, true
	return j
}

// requeue returns unread jobs to the queue. Called with mu held.
func (v *viewer) requeue(jobs ...*job) {
	for _, j := range jobs {
		j.dequeued, j.entry.reading = false, false
	}
	v.queue, v.sorted = append(v.queue, jobs...), false
}

// age is when the run was read, in Unix nanoseconds; 0 if never.
func (j *job) age() int64 {
	if j.entry.record == nil {
		return 0
	}
	return j.entry.record.oldest(j.parts)
}

// reader returns the reader of a job.
func (v *viewer) reader(j *job) *runReader {
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	return &runReader{
		run: j.run, old: j.entry.record, parsed: j.parsed, cache: v.index.cfg.Cache, gate: v.index.cfg.Gate, names: v.index.names.share, now: v.index.now,
		src: runsource.Run{Client: v.fleet.Client, Key: runsource.Key{Viewer: v.fleet.Name, RunID: j.run.Listed.ID}},
	}
}

// publish stores the outcome of a job, and wakes the callers that wait for it.
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
	v.startWorkers() // a second job of the run may have waited for this one
}

// set stores a record. Called with mu held.
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
