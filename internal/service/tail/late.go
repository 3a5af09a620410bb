package tail

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// lateFields adds the search index's records to the lists that a stream watches, if its
// filter or its metric names need them. Only the stream's goroutine uses it.
type lateFields struct {
	selector    runs.Selector
	filter      *filter.Filter[*runs.Entry]
	metricNames []string
	last        map[*viewerSubscription]*listSnapshot
}

func (s *Service) newLateFields(f *filter.Filter[*runs.Entry], metricNames []string) *lateFields {
	return &lateFields{
		selector: s.selector, filter: f, metricNames: metricNames, last: map[*viewerSubscription]*listSnapshot{},
	}
}

// add returns the snapshot with the records of its runs. Missing records are read in the
// background, and will be there after a later poll of the list; add waits for them for at
// most wait. Runs that the filter cannot decide are left out; pending is the number of
// those that are still being read.
func (f *lateFields) add(ctx context.Context, m *viewerSubscription, l *listSnapshot, wait time.Duration) (known *listSnapshot, pending int, err error) {
	parts := runs.PartsOf(f.filter.Needs())
	isUndecided := parts != 0
	if len(f.metricNames) > 0 {
		parts |= search.PartMetrics
	}
	if parts == 0 {
		return l, 0, nil
	}
	last := f.last[m]
	copies := make([]*listedRun, 0, len(l.runs))
	entries := make([]*runs.Entry, 0, len(l.runs))
	for _, run := range l.runs {
		if f.filter.MayMatch(&run.Entry) {
			c := &listedRun{Entry: run.Entry, experiment: run.experiment, base: run}
			copies, entries = append(copies, c), append(entries, &c.Entry)
		}
	}
	early, mode := ctx, search.Want
	if wait > 0 {
		timed, cancel := context.WithTimeout(ctx, wait)
		defer cancel()
		early, mode = timed, search.Wait
	}
	var found runs.Filtered
	if err := f.selector.Attach(early, &found, entries, parts, mode); err != nil {
		if ctx.Err() != nil || early.Err() == nil {
			return nil, 0, err
		}
		found.Pending = len(entries)
	}
	out := &listSnapshot{at: l.at, runs: make(map[string]*listedRun, len(copies))}
	for _, c := range copies {
		switch old := last.find(c.Run.ID); {
		case c.Record == nil && isUndecided:
			continue
		case old != nil && old.base == c.base && old.Record == c.Record:
			c = old
		case c.Record != nil && len(f.metricNames) > 0:
			c.experiment = proto.CloneOf(c.experiment)
			runs.AddMetrics([]*runicornapiv1.Experiment{c.experiment}, []*runs.Entry{&c.Entry}, f.metricNames)
		}
		out.runs[c.Run.ID] = c
	}
	f.last[m] = out
	return out, found.Pending, nil
}

// find returns a run of a snapshot, which may be nil.
func (l *listSnapshot) find(runID string) *listedRun {
	if l == nil {
		return nil
	}
	return l.runs[runID]
}
