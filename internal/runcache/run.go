package runcache

import (
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// View is a parsed run as a reader of the Cache sees it.
type View struct {
	// Table is the merged view, settled. It may be read only.
	Table *eventlog.Table
	// Origin is what it was read from.
	Origin runsource.Origin
	// Counts is what was left out. Of a merged table, LinesWithoutStep counts the rows.
	eventlog.Counts
	// FirstTime is the earliest time of any line, rewritten ones included, in
	// unix seconds; it counts only if HasTime.
	FirstTime float64
	HasTime   bool
	// ReadTime is when the Viewer was asked: nothing later is in it.
	ReadTime time.Time
}

// run is one parsed run. It is changed by one flight at a time; what readers see
// changes under mu only, the rest needs no lock.
type run struct {
	mu   sync.RWMutex
	view View

	// published says that readers may have it: from then on its table is settled
	// whenever mu is free.
	published bool
	// freshUntil is until when the run is valid without asking.
	freshUntil time.Time

	parser     eventlog.Parser // of the event log
	checkpoint runsource.Checkpoint
	merged     mergedState // of the merged table
}

func newRun(origin runsource.Origin) *run {
	return &run{view: View{Table: eventlog.NewTable(), Origin: origin}}
}

// put merges a row. Called with mu held, or before the run is published.
func (r *run) put(row *eventlog.Row) error {
	if r.view.Origin == runsource.FromMergedTable {
		r.merged.excess.Limit(row)
	}
	r.view.Table.Put(row)
	if row.HasTime && (!r.view.HasTime || row.Time < r.view.FirstTime) {
		r.view.FirstTime, r.view.HasTime = row.Time, true
	}
	return nil
}

// publish lets readers have the run as it was at a time.
func (r *run) publish(readTime time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.published = true
	r.view.ReadTime = readTime
	r.refreshView()
}

// refreshView makes the view right for readers. Called with mu held.
func (r *run) refreshView() {
	r.view.Table.Compact()
	counts := r.parser.Counts()
	counts.LinesWithoutStep += uint64(r.merged.info.UnplacedRows) //nolint:gosec // a count; one of the two is 0
	counts.Excess.Add(r.merged.excess)
	counts.Excess.Add(r.view.Table.Excess())
	r.view.Counts = counts
}

// bytes estimates the run's memory. It may be called by the flight only.
func (r *run) bytes() int64 {
	const overhead = 16 << 10 // the parser's names and buffers, the checkpoint
	return int64(r.view.Table.Bytes()) + overhead
}

// updater is one update of one run.
type updater struct {
	gate *cpugate.Gate
	src  runsource.Source
	now  func() time.Time
	run  *run // the run as it is so far; nil if there is none
}

// ensureRun returns the run to go on with, if it has this origin, or a new one.
func (u *updater) ensureRun(origin runsource.Origin) *run {
	if u.run == nil || u.run.view.Origin != origin {
		u.run = newRun(origin)
	}
	return u.run
}
