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
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// parallelReads is the maximum number of experiments that one call reads
	// concurrently. The client of each Viewer has its own limit as well.
	parallelReads = 8
)

// runSelector is a request that selects experiments.
type runSelector interface {
	GetViewer() string
	GetRunIds() []string
	GetFilter() string
	GetMaxRuns() int32
	GetAllowPartial() bool
}

// selectRuns returns the experiments of a request: those that it names, in its order, or
// those that its filter selects, newest first. Beyond max_runs the oldest are left out.
// NotRead includes them, and the Viewers whose list could not be read.
func (s *Service) selectRuns(ctx context.Context, req runSelector) (c *runs.Filtered, err error) {
	if len(req.GetRunIds()) > 0 {
		c, err = s.byIDs(ctx, req.GetViewer(), req.GetRunIds())
	} else {
		c, err = s.applyFilter(ctx, req)
	}
	if err != nil {
		return nil, err
	}
	limit(ctx, c, int(req.GetMaxRuns()))
	return c, nil
}

// attach adds to the experiments the search index's records of their metrics.
func (s *Service) attach(ctx context.Context, c *runs.Filtered, allowPartial bool) error {
	return s.selector.Attach(ctx, c, c.Pointers(), search.PartMetrics, runs.ModeOf(allowPartial))
}

// manyRuns is the number of experiments from which on a comparison asks the search index
// which of them have the metrics, instead of reading all of them.
const manyRuns = 64

// keepHaving removes the experiments that have none of the selected metrics.
func (s *Service) keepHaving(ctx context.Context, c *runs.Filtered, selection eventlog.Selection, allowPartial bool) error {
	if !allowPartial && len(c.Entries) < manyRuns {
		return nil
	}
	if err := s.attach(ctx, c, allowPartial); err != nil {
		return err
	}
	c.Entries = slices.DeleteFunc(c.Entries, func(e runs.Entry) bool {
		return e.Record == nil || e.Record.HasEnded() &&
			!slices.ContainsFunc(e.Record.Metrics, func(m search.Metric) bool { return selection.HasName(m.Name) })
	})
	return nil
}

// applyFilter selects by lists and digests. All runs of a Viewer that does not answer are
// reported as not read.
func (s *Service) applyFilter(ctx context.Context, req runSelector) (*runs.Filtered, error) {
	matcher, err := runs.NewMatcher(req.GetFilter())
	if err != nil {
		return nil, err
	}
	c, err := s.selector.Select(ctx, runs.Query{Viewer: req.GetViewer(), Filter: matcher, AllowPartial: req.GetAllowPartial()})
	if err != nil {
		return nil, err
	}
	for _, u := range c.Unreachable {
		c.NotRead = append(c.NotRead, &runicornapiv1.ExperimentResult{Viewer: u.GetViewer(), Error: u.GetError()})
	}
	slices.SortStableFunc(c.Entries, runs.NewestFirst)
	return c, nil
}

// byIDs finds named experiments in the shared lists. An experiment that is not listed, or
// whose list cannot be read, becomes an entry with only its id; reading that entry
// returns the error.
func (s *Service) byIDs(ctx context.Context, viewer string, ids []string) (*runs.Filtered, error) {
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
	for _, t := range target.Unique(targets) {
		e := runs.Entry{Viewer: t.Viewer, Run: &restclient.Run{ID: t.RunID}}
		i := slices.Index(viewers, t.Viewer)
		if errs[i] == nil {
			if run := lists[i].Find(t.RunID); run != nil {
				e.Run, e.Lossy = run, lists[i].Lossy
			}
		}
		entries = append(entries, e)
	}
	return &runs.Filtered{Entries: entries}, nil
}

// limit keeps the newest maxRuns experiments, all if 0, and reports the others as not
// read.
func limit(ctx context.Context, c *runs.Filtered, maxRuns int) {
	if maxRuns == 0 || len(c.Entries) <= maxRuns {
		return
	}
	slices.SortStableFunc(c.Entries, runs.NewestFirst)
	for i := maxRuns; i < len(c.Entries); i++ {
		c.AddNotRead(ctx, &c.Entries[i], apierr.OverLimit("max_runs "+strconv.Itoa(maxRuns),
			"one of the experiments beyond max_runs, of which the newest %d are read", maxRuns))
	}
	c.Entries = c.Entries[:maxRuns]
}

// readEach calls use for the selected experiments, by their index in entries and several
// concurrently, until shortly before the caller's deadline. Those that were not read by
// then, or failed, are in notRead. An error of use ends the call.
func (s *Service) readEach(ctx context.Context, c *runs.Filtered, use func(ctx context.Context, i int, v *runcache.View) error) error {
	timed, stop := target.WithMargin(ctx)
	defer stop()
	g, groupCtx := errgroup.WithContext(timed)
	g.SetLimit(parallelReads)
	errs := make([]error, len(c.Entries))
	for i := range c.Entries {
		g.Go(func() (fatal error) {
			errs[i] = s.reader.ReadAny(groupCtx, c.Entries[i].Target(), func(v *runcache.View) error {
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
		if err != nil {
			c.AddNotRead(ctx, &c.Entries[i], err)
		}
	}
	return nil
}
