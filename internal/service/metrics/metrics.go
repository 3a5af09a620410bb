// Package metrics serves MetricService except TailMetrics.
package metrics

import (
	"context"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Config holds what the service depends on.
type Config struct {
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runcache.Cache
	// Index has statistics of the metrics of all runs.
	Index *search.Index
	// CPUGate bounds the computing of exports and histories.
	CPUGate *cpugate.Gate
	// Budget limits the histories that are buffered to be merged or downsampled.
	Budget *points.Budget
	// Drain ends histories when the server shuts down.
	Drain *drain.Signal
}

// Service serves MetricService except TailMetrics.
type Service struct {
	runicornapiv1.UnimplementedMetricServiceServer
	config   Config
	resolver target.Resolver
	reader   source.Reader
	selector runs.Selector
}

// New returns the service.
func New(c Config) *Service {
	resolver := target.Resolver{Fleet: c.Fleet}
	return &Service{
		config: c, resolver: resolver, reader: source.Reader{Cache: c.Cache},
		selector: runs.Selector{Resolver: resolver, Index: c.Index},
	}
}

// ListMetrics lists the metrics of an experiment.
func (s *Service) ListMetrics(ctx context.Context, req *runicornapiv1.ListMetricsRequest) (*runicornapiv1.ListMetricsResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	var resp *runicornapiv1.ListMetricsResponse
	err = s.reader.ReadAny(ctx, t, func(v *runcache.View) error {
		resp = metricListAnswer(t, v, convert.Selection(req))
		return nil
	})
	if err != nil {
		return nil, err
	}
	resp.Metrics, resp.NextPageToken, err = page.InOrder(req, resp.GetMetrics(), func(m *runicornapiv1.MetricInfo) string {
		return m.GetKind().String() + m.GetMetricName()
	})
	return resp, err
}

// GetMetrics reads the merged view of an experiment's metrics.
func (s *Service) GetMetrics(ctx context.Context, req *runicornapiv1.GetMetricsRequest) (*runicornapiv1.GetMetricsResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	var resp *runicornapiv1.GetMetricsResponse
	err = s.reader.ReadAny(ctx, t, func(v *runcache.View) error {
		series, err := newSeriesReader(req).read(ctx, v)
		resp = metricsAnswer(t, v, series)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer.CheckSize(resp)
}

// CompareExperiments aligns metrics of several experiments.
func (s *Service) CompareExperiments(ctx context.Context, req *runicornapiv1.CompareExperimentsRequest) (*runicornapiv1.CompareExperimentsResponse, error) {
	selected, err := s.selectRuns(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.keepHaving(ctx, selected, convert.Selection(req), req.GetAllowPartial()); err != nil {
		return nil, err
	}
	c := newComparison(req, len(selected.Entries))
	if err := s.readEach(ctx, selected, c.read); err != nil {
		return nil, err
	}
	comparisons, err := c.comparisons(ctx, selected.Entries)
	if err != nil {
		return nil, err
	}
	return answer.CheckSize(&runicornapiv1.CompareExperimentsResponse{
		Comparisons: comparisons,
		NotRead:     selected.NotRead, NotReadCount: selected.NotReadCount(),
		Complete:         len(selected.NotRead) == 0,
		OldestDigestTime: convert.Time(selected.OldestDigest),
	})
}

// FindBestExperiment finds the experiment with the best value of a metric.
func (s *Service) FindBestExperiment(ctx context.Context, req *runicornapiv1.FindBestExperimentRequest) (*runicornapiv1.FindBestExperimentResponse, error) {
	selected, err := s.selectRuns(ctx, req)
	if err != nil {
		return nil, err
	}
	if err := s.attach(ctx, selected, req.GetAllowPartial()); err != nil {
		return nil, err
	}
	resp := findBest(req, selected.Entries)
	resp.NotRead, resp.NotReadCount, resp.Complete = selected.NotRead, selected.NotReadCount(), len(selected.NotRead) == 0
	resp.OldestDigestTime = convert.Time(selected.OldestDigest)
	return answer.CheckSize(resp)
}
