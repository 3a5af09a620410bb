// Package experiments serves the unary methods of ExperimentService.
package experiments

import (
	"cmp"
	"context"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Config holds what the service depends on.
type Config struct {
	Fleet *fleet.Fleet
	// Index answers the parts of filters and orders that lists do not have.
	Index *search.Index
	// DisablePurge makes PurgeExperiments fail with FEATURE_DISABLED.
	DisablePurge bool
}

// Service serves the unary methods of ExperimentService.
type Service struct {
	runicornapiv1.UnimplementedExperimentServiceServer
	config   Config
	resolver target.Resolver
	selector runs.Selector
}

// New returns the service.
func New(c Config) *Service {
	resolver := target.Resolver{Fleet: c.Fleet}
	return &Service{config: c, resolver: resolver, selector: runs.Selector{Resolver: resolver, Index: c.Index}}
}

// ListExperiments filters and orders the shared lists, and returns one page.
func (s *Service) ListExperiments(ctx context.Context, req *runicornapiv1.ListExperimentsRequest) (*runicornapiv1.ListExperimentsResponse, error) {
	query, err := newListQuery(req)
	if err != nil {
		return nil, err
	}
	selected, err := s.selector.Select(ctx, runs.Query{
		Viewer: req.GetViewer(), Filter: query.filter, Order: query.order, AllowPartial: req.GetAllowPartial(),
	})
	if err != nil {
		return nil, err
	}
	page, next := query.page(selected.Entries)
	if len(req.GetMetricNames()) > 0 {
		if err := s.selector.Attach(ctx, selected, page, search.PartMetrics, runs.ModeOf(req.GetAllowPartial())); err != nil {
			return nil, err
		}
	}
	var timeout time.Duration
	if req.GetViewer() == target.AllViewers {
		timeout = s.config.Fleet.FanOutTimeout()
	}
	if req.GetView() == runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL {
		s.selector.Prefetch(ctx, page)
	}
	experiments, err := runs.Complete(ctx, page, req.GetView(), timeout)
	if err != nil {
		return nil, err
	}
	runs.AddMetrics(experiments, page, req.GetMetricNames())
	if n := answer.CountFitting(experiments, answer.MaxSize); n < len(experiments) {
		experiments, next = experiments[:n], query.tokenAfter(page[n-1])
	}
	return &runicornapiv1.ListExperimentsResponse{
		Experiments: experiments, NextPageToken: next, Unreachable: selected.Unreachable,
		TotalSize: selected.TotalSize(), ReadTime: convert.Time(selected.ReadTime),
		Complete: selected.Complete(), NotRead: selected.NotRead, NotReadCount: selected.NotReadCount(),
		OldestDigestTime: convert.Time(selected.OldestDigest),
	}, nil
}

// GetExperiment reads one experiment.
func (s *Service) GetExperiment(ctx context.Context, req *runicornapiv1.GetExperimentRequest) (*runicornapiv1.GetExperimentResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	var experiment *runicornapiv1.Experiment
	if req.GetView() == runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC {
		experiment, err = runs.Basic(ctx, t)
	} else {
		experiment, err = runs.Full(ctx, t)
	}
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetExperimentResponse{Experiment: experiment}, nil
}

// ListProjects counts the experiments of the shared lists by project.
func (s *Service) ListProjects(ctx context.Context, req *runicornapiv1.ListProjectsRequest) (*runicornapiv1.ListProjectsResponse, error) {
	paging, err := page.New(req)
	if err != nil {
		return nil, err
	}
	selected, err := runs.Filter(ctx, s.resolver, req.GetViewer(), nil)
	if err != nil {
		return nil, err
	}
	projects := projectsOf(selected.Entries)
	page, next := page.Paginate(paging, projects, false)
	return &runicornapiv1.ListProjectsResponse{
		Projects: page, NextPageToken: next, Unreachable: selected.Unreachable,
		TotalSize: target.TotalSize(len(projects), selected.Unreachable),
	}, nil
}

// UpdateExperiment changes alias, tags and path: either all that are requested or none.
func (s *Service) UpdateExperiment(ctx context.Context, req *runicornapiv1.UpdateExperimentRequest) (*runicornapiv1.UpdateExperimentResponse, error) {
	change, err := newUpdate(req)
	if err != nil {
		return nil, err
	}
	id, field := cmp.Or(req.GetExperiment().GetRunId(), req.GetExperiment().GetResourceName()), "experiment.run_id"
	if id == "" {
		return nil, apierr.Invalid(field, "must be set, or resource_name")
	}
	t, err := s.resolver.Run(ctx, req.GetExperiment().GetViewer(), field, id)
	if err != nil {
		return nil, err
	}
	if err := s.mayUpdate(ctx, t, change); err != nil {
		return nil, err
	}
	if err := update(ctx, t, change); err != nil {
		return nil, err
	}
	experiment, err := runs.Basic(ctx, t)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.UpdateExperimentResponse{Experiment: experiment}, nil
}

// DeleteExperiments moves experiments into the recycle bin.
func (s *Service) DeleteExperiments(ctx context.Context, req *runicornapiv1.DeleteExperimentsRequest) (*runicornapiv1.DeleteExperimentsResponse, error) {
	results, err := s.applyBatch(ctx, req.GetViewer(), req.GetRunIds(), (*restclient.Client).SoftDelete)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.DeleteExperimentsResponse{Results: results}, nil
}

// ListDeletedExperiments lists the recycle bins.
func (s *Service) ListDeletedExperiments(ctx context.Context, req *runicornapiv1.ListDeletedExperimentsRequest) (*runicornapiv1.ListDeletedExperimentsResponse, error) {
	paging, err := page.New(req)
	if err != nil {
		return nil, err
	}
	bins, err := s.bins(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	deleted := keyedDeletedRuns(bins)
	page, next := page.Paginate(paging, deleted, true)
	return &runicornapiv1.ListDeletedExperimentsResponse{
		DeletedExperiments: page, NextPageToken: next, Unreachable: bins.Unreachable,
		TotalSize: target.TotalSize(len(deleted), bins.Unreachable),
	}, nil
}

// RestoreExperiments moves experiments out of the recycle bin.
func (s *Service) RestoreExperiments(ctx context.Context, req *runicornapiv1.RestoreExperimentsRequest) (*runicornapiv1.RestoreExperimentsResponse, error) {
	results, err := s.applyBatch(ctx, req.GetViewer(), req.GetRunIds(), (*restclient.Client).Restore)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.RestoreExperimentsResponse{Results: results}, nil
}

// PurgeExperiments removes experiments permanently.
func (s *Service) PurgeExperiments(ctx context.Context, req *runicornapiv1.PurgeExperimentsRequest) (*runicornapiv1.PurgeExperimentsResponse, error) {
	if s.config.DisablePurge {
		return nil, apierr.Disabled("purging", "--enable-purge")
	}
	results, err := s.purge(ctx, req)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.PurgeExperimentsResponse{Results: results, ValidateOnly: req.GetValidateOnly()}, nil
}

// GetEnvironment reads what was recorded of an experiment's machine.
func (s *Service) GetEnvironment(ctx context.Context, req *runicornapiv1.GetEnvironmentRequest) (*runicornapiv1.GetEnvironmentResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	environment, err := t.Client.GetEnvironment(ctx, t.RunID)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetEnvironmentResponse{
		Available: environment.Available, Environment: convert.Values(environment.Values),
		Viewer: t.Name, RunId: convert.Text(t.RunID),
	}, nil
}
