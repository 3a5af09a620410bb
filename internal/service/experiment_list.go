package service

import (
	"context"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// entry is one run of a Viewer's list with what filters and orders look at.
// It is made for each call from the shared list, so it is small.
type entry struct {
	runPath
	viewer *fleet.Viewer
	run    *restclient.Run
	lossy  bool
}

// experiment converts the entry.
func (e *entry) experiment() *runicornapiv1.Experiment {
	return basicExperiment(e.viewer.Name, e.run, e.lossy)
}

// target names the entry's run for further reads.
func (e *entry) target() target { return target{Viewer: e.viewer, runID: e.run.ID} }

// filteredRuns is the runs that a filter selects, on one Viewer or on all.
type filteredRuns struct {
	entries     []entry
	unreachable []*runicornapiv1.UnreachableViewer
	// readTime is when the oldest of the lists was read.
	readTime time.Time
}

// filterRuns applies a filter to the shared lists of the Viewers that a
// request means: while they are fresh this costs the Viewers nothing. The
// entries are in no order; without a filter they are all.
func (d *Config) filterRuns(ctx context.Context, viewer string, matcher *filter.Filter[*entry]) (*filteredRuns, error) {
	lists, err := fanOut(ctx, d, viewer, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		return v.Client.Runs(ctx)
	})
	if err != nil {
		return nil, err
	}
	s := &filteredRuns{unreachable: lists.unreachable}
	for _, a := range lists.succeeded {
		if s.readTime.IsZero() || a.value.At.Before(s.readTime) {
			s.readTime = a.value.At
		}
		for i := range a.value.Runs {
			run := &a.value.Runs[i]
			e := entry{runPath: runPathOf(run), viewer: a.viewer, run: run, lossy: a.value.Lossy}
			if matcher == nil || matcher.Match(&e) {
				s.entries = append(s.entries, e)
			}
		}
	}
	return s, nil
}

// positionIn is an entry's position in an order.
func positionIn(o *filter.Order[*entry], e *entry) position {
	keys := make([]filter.Value, len(o.Keys))
	for i := range o.Keys {
		keys[i] = o.Keys[i].Value(e).Truncate(maxKeyText)
	}
	return position{keys, e.viewer.Name, truncate(e.run.ID)}
}

// listQuery is a list request that was understood.
type listQuery struct {
	paging *pager
	order  *filter.Order[*entry]
	filter *filter.Filter[*entry]
}

// newListQuery reads a list request.
func newListQuery(req *runicornapiv1.ListExperimentsRequest) (q listQuery, err error) {
	if err := refuseUnsupported(req.GetMetricNames(), req.GetAllowPartial()); err != nil {
		return q, err
	}
	if q.filter, err = newMatcher(req.GetFilter()); err != nil {
		return q, err
	}
	if q.order, err = newOrder(req.GetOrderBy()); err != nil {
		return q, err
	}
	q.paging, err = newPager(req)
	return q, err
}

// page cuts the request's page out of the selected entries.
func (q listQuery) page(entries []entry) (page []*entry, next string) {
	desc := make([]bool, len(q.order.Keys))
	for i := range q.order.Keys {
		desc[i] = q.order.Keys[i].Desc
	}
	items := make([]keyed[*entry], len(entries))
	for i := range entries {
		items[i] = keyed[*entry]{positionIn(q.order, &entries[i]), &entries[i]}
	}
	return paginate(q.paging, items, desc...)
}

// tokenAfter is the token of the page that begins behind an entry.
func (q listQuery) tokenAfter(e *entry) string {
	last := positionIn(q.order, e)
	return writeToken(q.paging.query, &last)
}
