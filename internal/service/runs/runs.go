// Package runs reads the runs of Viewers as experiments: from lists with filters and
// orders, and single runs in full.
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

// Entry is one run of a Viewer's list with what filters and orders read. It is made for
// each call from the shared list, so it is small.
type Entry struct {
	runPath
	Viewer *fleet.Viewer
	Run    *restclient.Run
	Lossy  bool
	// Record is the search index's record of the run; nil if it was not requested or does
	// not exist.
	Record *search.Record
	now    time.Time // for the duration of a running run
}

// NewEntry returns the entry of a run of a list. Lossy tells whether the list had bytes
// that were not UTF-8.
func NewEntry(viewer *fleet.Viewer, run *restclient.Run, lossy bool) Entry {
	return Entry{runPath: runPathOf(run), Viewer: viewer, Run: run, Lossy: lossy}
}

// Experiment converts the entry.
func (e *Entry) Experiment() *runicornapiv1.Experiment {
	return BasicExperiment(e.Viewer.Name, e.Run, e.Lossy)
}

// Target returns the entry's run for further reads.
func (e *Entry) Target() target.Run { return target.Run{Viewer: e.Viewer, RunID: e.Run.ID} }

// Filtered holds the runs that a filter selects, on one Viewer or on all.
type Filtered struct {
	Entries     []Entry
	Unreachable []*runicornapiv1.UnreachableViewer
	// ReadTime is when the oldest of the lists was read.
	ReadTime time.Time
	// NotRead are the runs for which required data could not be read, at most MaxNotRead
	// of them.
	NotRead []*runicornapiv1.ExperimentResult
	noted   map[string]bool // all runs that could not be read, by resource name
	// Pending is the number of the runs in noted that are still being read.
	Pending   int
	undecided bool // a run that could not be read might have been selected
	// OldestDigest is when the oldest record that was used was read; zero if none was.
	OldestDigest time.Time
}

// Filter applies a filter to the shared lists of the Viewers that a request selects.
// While the lists are fresh, the Viewers get no requests. The entries have no order;
// without a filter they are all. Runs for which only late fields can decide are included.
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

// NewestFirst orders by creation time, newest first; unknown times come last.
func NewestFirst(a, b Entry) int {
	return cmp.Or(b.Run.CreatedTime.Compare(a.Run.CreatedTime.Time), cmp.Compare(b.Run.ID, a.Run.ID))
}
