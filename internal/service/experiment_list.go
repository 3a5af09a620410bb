package service

import (
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// entry is one run of a Viewer's list with what filters and orders look at.
// It is made for each call from the shared list, so it is small.
type entry struct {
	place
	viewer *fleet.Viewer
	run    *restclient.Run
	lossy  bool
}

// experiment converts the entry.
func (e *entry) experiment() *runicornv1.Experiment {
	return basicExperiment(e.viewer.Name, e.run, e.lossy)
}

// target names the entry's run for further reads.
func (e *entry) target() target { return target{Viewer: e.viewer, runID: e.run.ID} }

// selection is the runs that a filter selects, on one Viewer or on all.
type selection struct {
	entries     []entry
	unreachable []*runicornv1.UnreachableViewer
	// readTime is when the oldest of the lists was read.
	readTime time.Time
}

// selectRuns applies a filter to the shared lists of the Viewers that a
// request means: while they are fresh this costs the Viewers nothing. The
// entries are in no order.
func (d *Deps) selectRuns(ctx context.Context, viewer string, filter *runicornv1.ExperimentFilter) (*selection, error) {
	matches, err := newMatcher(filter)
	if err != nil {
		return nil, err
	}
	lists, err := gather(ctx, d, viewer, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		return v.Client.Runs(ctx)
	})
	if err != nil {
		return nil, err
	}
	s := &selection{unreachable: lists.unreachable}
	for _, a := range lists.answers {
		if s.readTime.IsZero() || a.value.At.Before(s.readTime) {
			s.readTime = a.value.At
		}
		for i := range a.value.Runs {
			run := &a.value.Runs[i]
			e := entry{place: placeOf(run), viewer: a.viewer, run: run, lossy: a.value.Lossy}
			if matches.entry(&e) {
				s.entries = append(s.entries, e)
			}
		}
	}
	return s, nil
}

// matcher is a filter that was understood.
type matcher struct {
	*runicornv1.ExperimentFilter
	prefix        string
	query         string
	after, before time.Time
}

// newMatcher reads a filter; nil selects every run.
func newMatcher(f *runicornv1.ExperimentFilter) (*matcher, error) {
	m := &matcher{
		ExperimentFilter: f,
		prefix:           strings.Trim(f.GetPathPrefix(), "/"),
		query:            strings.ToLower(f.GetQuery()),
	}
	for _, bound := range []struct {
		field string
		time  *timestamppb.Timestamp
		into  *time.Time
	}{
		{"created_after", f.GetCreatedAfter(), &m.after},
		{"created_before", f.GetCreatedBefore(), &m.before},
	} {
		if bound.time == nil {
			continue
		}
		if err := bound.time.CheckValid(); err != nil {
			return nil, invalid(bound.field, "is no valid time")
		}
		*bound.into = bound.time.AsTime()
	}
	return m, nil
}

// entry reports whether a run is selected: all that is set must hold.
func (m *matcher) entry(e *entry) bool {
	return (m.GetProject() == "" || e.project == m.GetProject()) &&
		(m.GetName() == "" || e.name == m.GetName()) &&
		(m.prefix == "" || under(e.path, m.prefix)) &&
		(len(m.GetStatuses()) == 0 || slices.Contains(m.GetStatuses(), experimentStatus(e.run.Status.Value))) &&
		m.tagged(e.run) &&
		m.created(e.run.CreatedTime.Time) &&
		m.mentioned(e)
}

// under reports whether a path is prefix or below it, by whole segments.
func under(path, prefix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// tagged reports whether a run has all tags of the filter.
func (m *matcher) tagged(run *restclient.Run) bool {
	for _, want := range m.GetTags() {
		if !slices.ContainsFunc(run.Tags, func(tag restclient.Text) bool { return tag.Value == want }) {
			return false
		}
	}
	return true
}

// created reports whether a time lies in the filter's range. An unknown time
// lies in none.
func (m *matcher) created(t time.Time) bool {
	if m.GetCreatedAfter() == nil && m.GetCreatedBefore() == nil {
		return true
	}
	return !t.IsZero() && !t.Before(m.after) && (m.GetCreatedBefore() == nil || t.Before(m.before))
}

// mentioned reports whether the filter's text is in any text of a run.
func (m *matcher) mentioned(e *entry) bool {
	if m.query == "" {
		return true
	}
	has := func(text string) bool { return strings.Contains(strings.ToLower(text), m.query) }
	return has(e.path) || has(e.name) || has(e.run.Alias.Value) || has(e.run.ID) ||
		slices.ContainsFunc(e.run.Tags, func(tag restclient.Text) bool { return has(tag.Value) })
}

// orderKeys are what lists can be ordered by.
var orderKeys = map[string]func(*entry) sortKey{
	"create_time": func(e *entry) sortKey {
		if e.run.CreatedTime.IsZero() {
			return sortKey{}
		}
		return numberKey(float64(e.run.CreatedTime.UnixMicro())) // exact for 200 years to come
	},
	"project": func(e *entry) sortKey { return textKey(e.project) },
	"name":    func(e *entry) sortKey { return textKey(e.name) },
	"path":    func(e *entry) sortKey { return textKey(e.path) },
	"alias":   func(e *entry) sortKey { return textKey(e.run.Alias.Value) },
	"run_id":  func(e *entry) sortKey { return textKey(e.run.ID) },
	"status": func(e *entry) sortKey {
		s := experimentStatus(e.run.Status.Value)
		return sortKey{known: s != runicornv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED, number: float64(s)}
	},
	"best_metric": func(e *entry) sortKey {
		if !e.run.BestMetricValue.Known {
			return sortKey{}
		}
		return numberKey(e.run.BestMetricValue.Value)
	},
}

const orderWords = "must be create_time, project, name, path, alias, status, best_metric or run_id, and may end in \" desc\""

// order is an order_by that was understood.
type order struct {
	key  func(*entry) sortKey
	desc bool
}

// newOrder reads an order_by; empty means the newest first.
func newOrder(text string) (order, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return order{key: orderKeys["create_time"], desc: true}, nil
	}
	key, ok := orderKeys[words[0]]
	if !ok || len(words) > 2 || (len(words) == 2 && words[1] != "desc") {
		return order{}, invalid("order_by", "%s", orderWords)
	}
	return order{key: key, desc: len(words) == 2 && words[1] == "desc"}, nil
}

// position is an entry's place in the order.
func (o order) position(e *entry) position {
	return position{o.key(e), e.viewer.Name, clip(e.run.ID)}
}

// place gives each entry its place in the order.
func (o order) place(entries []entry) []placed[*entry] {
	out := make([]placed[*entry], len(entries))
	for i := range entries {
		out[i] = placed[*entry]{o.position(&entries[i]), &entries[i]}
	}
	return out
}

// listQuery is a list request that was understood.
type listQuery struct {
	paging *pager
	order  order
	filter *runicornv1.ExperimentFilter
}

// newListQuery reads a list request, which has the filter's fields inline.
func newListQuery(req *runicornv1.ListExperimentsRequest) (q listQuery, err error) {
	if q.order, err = newOrder(req.GetOrderBy()); err != nil {
		return q, err
	}
	q.filter = &runicornv1.ExperimentFilter{
		Project: req.GetProject(), Name: req.GetName(), PathPrefix: req.GetPathPrefix(),
		Statuses: req.GetStatuses(), Tags: req.GetTags(), Query: req.GetQuery(),
		CreatedAfter: req.GetCreatedAfter(), CreatedBefore: req.GetCreatedBefore(),
	}
	q.paging, err = newPager(req)
	return q, err
}

// page cuts the request's page out of the selected entries.
func (q listQuery) page(entries []entry) (page []*entry, next string) {
	return cut(q.paging, q.order.place(entries), q.order.desc)
}

// behind is the token of the page that begins behind an entry.
func (q listQuery) behind(e *entry) string {
	last := q.order.position(e)
	return writeToken(q.paging.query, &last)
}
