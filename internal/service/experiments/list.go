package experiments

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// positionIn returns an entry's position in an order. Its keys are appended to keys.
func positionIn(o *filter.Order[*runs.Entry], e *runs.Entry, keys []filter.Value) page.Position {
	start := len(keys)
	for i := range o.Keys {
		keys = append(keys, o.Keys[i].Value(e).Truncate(page.MaxKeyText))
	}
	return page.Position{Keys: keys[start:], Viewer: e.Viewer.Name, ID: page.Truncate(e.Run.ID)}
}

// listQuery is a parsed list request.
type listQuery struct {
	paging *page.Pager
	order  *filter.Order[*runs.Entry]
	filter *filter.Filter[*runs.Entry]
}

// newListQuery parses a list request.
func newListQuery(req *runicornapiv1.ListExperimentsRequest) (q listQuery, err error) {
	if q.filter, err = runs.NewMatcher(req.GetFilter()); err != nil {
		return q, err
	}
	if q.order, err = runs.NewOrder(req.GetOrderBy()); err != nil {
		return q, err
	}
	q.paging, err = page.New(req)
	return q, err
}

// page returns the requested page of the selected entries.
func (q listQuery) page(entries []runs.Entry) (_ []*runs.Entry, next string) {
	desc := make([]bool, len(q.order.Keys))
	for i := range q.order.Keys {
		desc[i] = q.order.Keys[i].Desc
	}
	items := make([]page.Keyed[*runs.Entry], len(entries))
	n := len(q.order.Keys)
	keys := make([]filter.Value, n*len(entries)) // of all entries, in one allocation
	for i := range entries {
		items[i] = page.Keyed[*runs.Entry]{Position: positionIn(q.order, &entries[i], keys[n*i:n*i:n*(i+1)]), Item: &entries[i]}
	}
	return page.Paginate(q.paging, items, desc...)
}

// tokenAfter returns the token of the page that follows an entry.
func (q listQuery) tokenAfter(e *runs.Entry) string {
	last := positionIn(q.order, e, nil)
	return q.paging.TokenAfter(&last)
}
