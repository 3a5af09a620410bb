package service

import (
	"context"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
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
func (e *entry) target() target.Run { return target.Run{Viewer: e.viewer, RunID: e.run.ID} }

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
	lists, err := target.FanOut(ctx, d.resolver, viewer, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		return v.Client.Runs(ctx)
	})
	if err != nil {
		return nil, err
	}
	s := &filteredRuns{unreachable: lists.Unreachable}
	for _, a := range lists.Succeeded {
		if s.readTime.IsZero() || a.Value.At.Before(s.readTime) {
			s.readTime = a.Value.At
		}
		for i := range a.Value.Runs {
			run := &a.Value.Runs[i]
			e := entry{runPath: runPathOf(run), viewer: a.Viewer, run: run, lossy: a.Value.Lossy}
			if matcher == nil || matcher.Match(&e) {
				s.entries = append(s.entries, e)
			}
		}
	}
	return s, nil
}

// positionIn is an entry's position in an order.
func positionIn(o *filter.Order[*entry], e *entry) page.Position {
	keys := make([]filter.Value, len(o.Keys))
	for i := range o.Keys {
		keys[i] = o.Keys[i].Value(e).Truncate(page.MaxKeyText)
	}
	return page.Position{Keys: keys, Viewer: e.viewer.Name, ID: page.Truncate(e.run.ID)}
}

// listQuery is a list request that was understood.
type listQuery struct {
	paging *page.Pager
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
	q.paging, err = page.New(req)
	return q, err
}

// page cuts the request's page out of the selected entries.
func (q listQuery) page(entries []entry) (_ []*entry, next string) {
	desc := make([]bool, len(q.order.Keys))
	for i := range q.order.Keys {
		desc[i] = q.order.Keys[i].Desc
	}
	items := make([]page.Keyed[*entry], len(entries))
	for i := range entries {
		items[i] = page.Keyed[*entry]{Position: positionIn(q.order, &entries[i]), Item: &entries[i]}
	}
	return page.Paginate(q.paging, items, desc...)
}

// TokenAfter is the token of the page that begins behind an entry.
func (q listQuery) tokenAfter(e *entry) string {
	last := positionIn(q.order, e)
	return q.paging.TokenAfter(&last)
}
