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

// lateFields adds to the lists that a stream watches what the search index knows of
// their runs, if its filter or its metric names need that. It is used by the stream's
// goroutine only.
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

// add returns the snapshot with what is known of its runs; what is not is read, and will be
// there when the list was polled again. It waits for that at most as long as wait says.
// Runs that the filter cannot decide about are left out; pending are those that are still to
// be read.
func (f *lateFields) add(ctx context.Context, m *viewerSubscription, l *listSnapshot, wait time.Duration) (known *listSnapshot, pending int, err error) {
	parts := runs.PartsOf(f.filter)
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
