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

// View is a parsed run for a reader of the Cache.
type View struct {
	// Table is the merged view, compacted and read-only. It is nil if the run is too large
	// to be cached, which then has a Digest.
	Table  *eventlog.Table
	Digest *digest.Digest
	// Origin is what the run was read from.
	Origin runsource.Origin
	// Counts counts what was left out. LinesWithoutStep counts the rows of a merged table.
	eventlog.Counts
	// FirstTime is the earliest time of any line, rewritten ones included, in Unix seconds,
	// if HasTime.
	FirstTime float64
	HasTime   bool
	// Images are the images in the event file in log order; if there are very many, the
	// newest ones.
	Images []eventlog.Media
	// ReadTime is when the read started; nothing later is included.
	ReadTime time.Time
	// Checkpoint is how far the event file was read, the zero one of a merged table. The
	// bytes in it are valid as long as the View.
	Checkpoint runsource.Checkpoint
}

// Summary is the common interface of a table and a digest.
type Summary interface {
	Names(selection eventlog.Selection) []string
	Stats(selection eventlog.Selection) []eventlog.Stat
	Indeterminate(name string) int
	Rows() int
	Read(name string, q eventlog.Query) (samples []eventlog.Sample, ok bool)
}

// ReadMetric reads the points of one metric. The only error is ErrNeedsTable.
func (v *View) ReadMetric(name string, q eventlog.Query) ([]eventlog.Sample, error) {
	samples, ok := v.Summary().Read(name, q)
	if !ok {
		return nil, ErrNeedsTable
	}
	return samples, nil
}

// Summary returns the table, or else the digest, which only has sums over all steps.
func (v *View) Summary() Summary {
	if v.Table == nil {
		return v.Digest
	}
	return v.Table
}

// run is one parsed run. One update at a time changes it; what readers see changes only
// with mu held, the rest needs no lock.
type run struct {
	mu   sync.RWMutex
	view View

	// published reports that readers may use it: from then on its table is compacted
	// whenever mu is free.
	published bool
	// freshUntil is until when the run is valid without a request.
	freshUntil time.Time

	parser     eventlog.Parser // of the event log
	checkpoint runsource.Checkpoint
	imageBytes int64       // memory of the view's images
	merged     mergedState // of the merged table
}

func newRun(origin runsource.Origin) *run {
	return &run{view: View{Table: eventlog.NewTable(), Origin: origin}}
}

// put merges a row. r.mu must be held, or the run not be published.
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

// handler returns the handler that adds what a parser finds to the run.
func (r *run) handler() eventlog.Handler {
	return eventlog.Handler{Row: r.put, Media: r.putImage}
}

// maxImages is the maximum number of images kept of a run.
const maxImages = 20_000

// putImage adds an image. r.mu must be held, or the run not be published.
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

// publish lets readers use the run as of readTime; if it is larger than maxBytes, only its
// digest.
func (r *run) publish(readTime time.Time, maxBytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fold(maxBytes)
	r.published = true
	r.view.ReadTime = readTime
	r.refreshView()
}

// refreshView prepares the view for readers. r.mu must be held.
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

// bytes estimates the run's memory. Only the update may call it.
func (r *run) bytes() int64 {
	const overhead = 16 << 10 // the parser's names and buffers, the checkpoint
	if r.view.Digest != nil {
		return int64(r.view.Digest.Bytes()) + r.imageBytes + overhead
	}
	return int64(r.view.Table.Bytes()) + r.imageBytes + overhead
}

// errRewritten reports a write to a step that the digest has folded: the log must be read
// again.
var errRewritten = errors.New("an old step was rewritten")

// digestShare is the fraction of the cache's memory that one digest may use.
const digestShare = 8

// fold replaces a table larger than maxBytes by a digest. r.mu must be held.
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
	run  *run // the run so far; may be nil
	// maxBytes is the size above which a run is folded while it is read, and maxFinal the
	// size for one that was read to its end.
	maxBytes, maxFinal int64
}
