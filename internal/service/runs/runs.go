// Package runs reads the runs of Viewers as experiments: from their lists, by filter
// and order, and each in full.
package runs

import (
	"cmp"
	"context"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Entry is one run of a Viewer's list with what filters and orders look at.
// It is made for each call from the shared list, so it is small.
type Entry struct {
	runPath
	Viewer *fleet.Viewer
	Run    *restclient.Run
	Lossy  bool
	// Record is what the search index knows of the run; nil if it was not asked, or does
	// not know it.
	Record *search.Record
	now    time.Time // for the duration of a run that runs
}

// NewEntry returns the entry of a run of a list. Lossy says whether the list had
// bytes that were not UTF-8.
func NewEntry(viewer *fleet.Viewer, run *restclient.Run, lossy bool) Entry {
	return Entry{runPath: runPathOf(run), Viewer: viewer, Run: run, Lossy: lossy}
}

// Experiment converts the entry.
func (e *Entry) Experiment() *runicornapiv1.Experiment {
	return BasicExperiment(e.Viewer.Name, e.Run, e.Lossy)
}

// Target names the entry's run for further reads.
func (e *Entry) Target() target.Run { return target.Run{Viewer: e.Viewer, RunID: e.Run.ID} }

// Filtered is the runs that a filter selects, on one Viewer or on all.
type Filtered struct {
	Entries     []Entry
	Unreachable []*runicornapiv1.UnreachableViewer
	// ReadTime is when the oldest of the lists was read.
	ReadTime time.Time
	// NotRead are the runs of which something was needed that could not be read, at most
	// MaxNotRead of them.
	NotRead []*runicornapiv1.ExperimentResult
	noted   map[string]bool // all of them, by resource name
	// Pending counts those of them that are being read.
	Pending   int
	undecided bool // a run that could not be read might have been selected
	// OldestDigest is when the oldest of what the search index knows was read that was
	// used; zero if none was.
	OldestDigest time.Time
}

// Filter applies a filter to the shared lists of the Viewers that a
// request means: while they are fresh this costs the Viewers nothing. The
// entries are in no order; without a filter they are all. Runs of which only late
// fields can tell whether the filter selects them are among the entries.
func Filter(ctx context.Context, resolver target.Resolver, viewer string, matcher *filter.Filter[*Entry]) (*Filtered, error) {
	lists, err := target.FanOut(ctx, resolver, viewer, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		return v.Client.Runs(ctx)
	})
	if err != nil {
		return nil, err
	}
	s := &Filtered{Unreachable: lists.Unreachable}
	for _, a := range lists.Succeeded {
		if s.ReadTime.IsZero() || a.Value.At.Before(s.ReadTime) {
			s.ReadTime = a.Value.At
		}
		for i := range a.Value.Runs {
			run := &a.Value.Runs[i]
			e := NewEntry(a.Viewer, run, a.Value.Lossy)
			if matcher == nil || matcher.MayMatch(&e) {
				s.Entries = append(s.Entries, e)
			}
		}
	}
	return s, nil
}

// NewestFirst orders by age, unknown ages last.
func NewestFirst(a, b Entry) int {
	return cmp.Or(b.Run.CreatedTime.Compare(a.Run.CreatedTime.Time), cmp.Compare(b.Run.ID, a.Run.ID))
}
