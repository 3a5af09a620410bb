package metrics

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// defaultRuns is how many experiments are read where max_runs is 0.
	defaultRuns = 100
	// parallelReads is how many experiments one call reads at a time. Each
	// Viewer's client has its own bound on top.
	parallelReads = 8
)

// runSelector is the part of a request that says which experiments it is about.
type runSelector interface {
	GetViewer() string
	GetRunIds() []string
	GetFilter() string
	GetMaxRuns() int32
	GetAllowPartial() bool
}

// runSelection is the experiments that one call reads.
type runSelection struct {
	entries []runs.Entry
	// read counts those that were read; the others are in notRead, with those
	// beyond max_runs and the Viewers whose list could not be had.
	read    int
	notRead []*runicornapiv1.ExperimentResult
}

// selectRuns finds the experiments of a request: those that it names, in its order,
// or those that its filter selects, the newest first. Of more than max_runs the
// newest are taken.
func (s *Service) selectRuns(ctx context.Context, req runSelector) (*runSelection, error) {
	if err := runs.RefuseUnsupported(nil, req.GetAllowPartial()); err != nil {
		return nil, err
	}
	c := &runSelection{}
	var err error
	if len(req.GetRunIds()) > 0 {
		c.entries, err = s.byIDs(ctx, req.GetViewer(), req.GetRunIds())
	} else {
		err = c.applyFilter(ctx, s.resolver, req)
	}
	if err != nil {
		return nil, err
	}
	c.limit(cmp.Or(int(req.GetMaxRuns()), defaultRuns))
	return c, nil
}

// applyFilter selects from the shared lists. A Viewer that does not answer is not
// read, as a whole.
func (c *runSelection) applyFilter(ctx context.Context, resolver target.Resolver, req runSelector) error {
	matcher, err := runs.NewMatcher(req.GetFilter())
	if err != nil {
		return err
	}
	s, err := runs.Filter(ctx, resolver, req.GetViewer(), matcher)
	if err != nil {
		return err
	}
	for _, u := range s.Unreachable {
		c.notRead = append(c.notRead, &runicornapiv1.ExperimentResult{Viewer: u.GetViewer(), Error: u.GetError()})
	}
	slices.SortStableFunc(s.Entries, runs.NewestFirst)
	c.entries = s.Entries
	return nil
}

// byIDs finds named experiments in the shared lists. One that is in none, or
// whose list cannot be had, is an entry of nothing but its id: reading it will
// say what is the matter.
func (s *Service) byIDs(ctx context.Context, viewer string, ids []string) ([]runs.Entry, error) {
	targets, err := s.resolver.Runs(ctx, viewer, ids)
	if err != nil {
		return nil, err
	}
	var viewers []*fleet.Viewer
	for _, t := range targets {
		if !slices.Contains(viewers, t.Viewer) {
			viewers = append(viewers, t.Viewer)
		}
	}
	lists, errs := target.ForEachViewer(ctx, viewers, func(ctx context.Context, v *fleet.Viewer) (*restclient.RunList, error) {
		return v.Client.Runs(ctx)
	})
	entries := make([]runs.Entry, 0, len(targets))
	for _, t := range targets {
		e := runs.Entry{Viewer: t.Viewer, Run: &restclient.Run{ID: t.RunID}}
		i := slices.Index(viewers, t.Viewer)
		if errs[i] == nil {
			if run := lists[i].Find(t.RunID); run != nil {
				e.Run, e.Lossy = run, lists[i].Lossy
			}
		}
		entries = append(entries, e)
	}
	return uniqueEntries(entries), nil
}

// uniqueEntries leaves out an experiment that was named twice, by its id and by
// its resource name.
func uniqueEntries(entries []runs.Entry) []runs.Entry {
	seen := make(map[string]bool, len(entries))
	return slices.DeleteFunc(entries, func(e runs.Entry) bool {
		name := e.Target().ResourceName()
		defer func() { seen[name] = true }()
		return seen[name]
	})
}

// limit leaves the newest experiments, and says which are not read for that.
func (c *runSelection) limit(maxRuns int) {
	if len(c.entries) <= maxRuns {
		return
	}
	slices.SortStableFunc(c.entries, runs.NewestFirst)
	for _, e := range c.entries[maxRuns:] {
		c.addNotRead(context.Background(), &e, apierr.OverLimit("max_runs "+strconv.Itoa(maxRuns),
			"one of the experiments beyond max_runs, of which the newest %d are read", maxRuns))
	}
	c.entries = c.entries[:maxRuns]
}

func (c *runSelection) addNotRead(ctx context.Context, e *runs.Entry, err error) {
	c.notRead = append(c.notRead, &runicornapiv1.ExperimentResult{
		Viewer: e.Viewer.Name, RunId: convert.Text(e.Run.ID), Error: errmap.Status(ctx, err).Proto(),
	})
}

// readEach passes the selected experiments to use, by their index in entries and
// several at a time, until shortly before the caller's deadline. What was not
// read by then, or failed, is in notRead. An error of use ends the call.
func (s *Service) readEach(ctx context.Context, c *runSelection, use func(ctx context.Context, i int, v *runcache.View) error) error {
	timed, stop := target.WithMargin(ctx)
	defer stop()
	g, groupCtx := errgroup.WithContext(timed)
	g.SetLimit(parallelReads)
	errs := make([]error, len(c.entries))
	for i := range c.entries {
		g.Go(func() (fatal error) {
			errs[i] = s.reader.ReadAny(groupCtx, c.entries[i].Target(), func(v *runcache.View) error {
				err := use(groupCtx, i, v)
				if !errors.Is(err, runcache.ErrNeedsTable) {
					fatal = err
				}
				return err
			})
			return fatal
		})
	}
	if err := cmp.Or(g.Wait(), ctx.Err()); err != nil {
		return err
	}
	for i, err := range errs {
		if err == nil {
			c.read++
		} else {
			c.addNotRead(ctx, &c.entries[i], target.TimeoutError(ctx, c.entries[i].Viewer.Name, err))
		}
	}
	return nil
}
