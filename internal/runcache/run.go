package runcache

import (
	"errors"
	"sync"
	"time"
	"unsafe"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/digest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// View is a parsed run as a reader of the Cache sees it.
type View struct {
	// Table is the merged view, settled. It may be read only. It is nil if the run is
	// too large to be kept: then there is a Digest.
	Table  *eventlog.Table
	Digest *digest.Digest
	// Origin is what it was read from.
	Origin runsource.Origin
	// Counts is what was left out. Of a merged table, LinesWithoutStep counts the rows.
	eventlog.Counts
	// FirstTime is the earliest time of any line, rewritten ones included, in
	// unix seconds; it counts only if HasTime.
	FirstTime float64
	HasTime   bool
	// Images are those of the event file in the order of logging, of very many the newest.
	Images []eventlog.Media
	// ReadTime is when the Viewer was asked: nothing later is in it.
	ReadTime time.Time
	// Checkpoint is how far the event file was read, the zero one of a merged table. The
	// bytes in it are valid as long as the View.
	Checkpoint runsource.Checkpoint
}

// Summary is what a table and a digest have in common.
type Summary interface {
	Names(selection eventlog.Selection) []string
	Stats(selection eventlog.Selection) []eventlog.Stat
	Indeterminate(name string) int
	Rows() int
	Read(name string, q eventlog.Query) (samples []eventlog.Sample, ok bool)
}

// ReadMetric reads the points of one metric. The error is ErrNeedsTable.
func (v *View) ReadMetric(name string, q eventlog.Query) ([]eventlog.Sample, error) {
	samples, ok := v.Summary().Read(name, q)
	if !ok {
		return nil, ErrNeedsTable
	}
	return samples, nil
}

// Summary is of the table, or else of the digest, which has the sums over all steps only.
func (v *View) Summary() Summary {
	if v.Table == nil {
		return v.Digest
	}
	return v.Table
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
	imageBytes int64       // of the view's images
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
	switch {
	case r.view.Digest == nil:
		r.view.Table.Put(row)
	case !r.view.Digest.Put(row):
		return errRewritten
	}
	if row.HasTime && (!r.view.HasTime || row.Time < r.view.FirstTime) {
		r.view.FirstTime, r.view.HasTime = row.Time, true
	}
	return nil
}

// handler puts what a parser finds into the run.
func (r *run) handler() eventlog.Handler {
	return eventlog.Handler{Row: r.put, Media: r.putImage}
}

// maxImages bounds the images of a run that are held.
const maxImages = 20_000

// putImage adds an image. Called with mu held, or before the run is published.
func (r *run) putImage(m *eventlog.Media) error {
	if len(r.view.Images) == maxImages {
		for i := range maxImages / 2 {
			r.imageBytes -= imageBytes(&r.view.Images[i])
		}
		r.view.Images = append([]eventlog.Media(nil), r.view.Images[maxImages/2:]...)
	}
	r.view.Images = append(r.view.Images, *m)
	r.imageBytes += imageBytes(m)
	return nil
}

// imageBytes estimates the memory of an image's entry.
func imageBytes(m *eventlog.Media) int64 {
	return int64(unsafe.Sizeof(*m)) + int64(len(m.Key)+len(m.Path)+len(m.Caption))
}

// publish lets readers have the run as it was at a time: the digest only, if it is larger
// than maxBytes.
func (r *run) publish(readTime time.Time, maxBytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fold(maxBytes)
	r.published = true
	r.view.ReadTime = readTime
	r.refreshView()
}

// refreshView makes the view right for readers. Called with mu held.
func (r *run) refreshView() {
	counts := r.parser.Counts()
	if r.view.Digest == nil {
		r.view.Table.Compact()
		counts.Excess.Add(r.view.Table.Excess())
	} else {
		counts.Excess.Add(r.view.Digest.Excess)
	}
	counts.LinesWithoutStep += uint64(r.merged.info.RowsWithoutStep) //nolint:gosec // a count; one of the two is 0
	counts.Excess.Add(r.merged.excess)
	r.view.Counts = counts
	r.view.Checkpoint = r.checkpoint
}

// bytes estimates the run's memory. It may be called by the flight only.
func (r *run) bytes() int64 {
	const overhead = 16 << 10 // the parser's names and buffers, the checkpoint
	if r.view.Digest != nil {
		return int64(r.view.Digest.Bytes()) + r.imageBytes + overhead
	}
	return int64(r.view.Table.Bytes()) + r.imageBytes + overhead
}

// errRewritten says that a line is about a step of which the digest knows too little: the
// log must be read again.
var errRewritten = errors.New("an old step was written again")

// digestShare is the part of the cache's memory that one digest may have.
const digestShare = 8

// fold leaves the digest only of a run that is larger than maxBytes. Called with mu held.
func (r *run) fold(maxBytes int64) {
	if r.view.Digest != nil || r.bytes() <= maxBytes {
		return
	}
	r.view.Table.Compact()
	r.view.Digest, r.view.Table = digest.FromTable(r.view.Table, int(min(maxBytes/digestShare, digest.MaxBytes))), nil
}

// updater is one update of one run.
type updater struct {
	gate *cpugate.Gate
	src  runsource.Source
	now  func() time.Time
	run  *run // the run as it is so far; nil if there is none
	// maxBytes is how large a run may become before it is folded, and maxFinal the
	// same for one that was read to its end.
	maxBytes, maxFinal int64
}

// ensureRun returns the run to continue with, if it has this origin, or a new one.
func (u *updater) ensureRun(origin runsource.Origin) *run {
	if u.run == nil || u.run.view.Origin != origin {
		u.run = newRun(origin)
	}
	return u.run
}
