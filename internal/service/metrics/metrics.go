// Package metrics serves MetricService, but for TailMetrics.
package metrics

import (
	"context"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Config is what the service works with.
type Config struct {
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runcache.Cache
	// CPUGate bounds what exports and histories compute.
	CPUGate *cpugate.Gate
	// Budget bounds the histories that are held to be merged or downsampled.
	Budget *points.Budget
	// Drain ends histories when the server shuts down.
	Drain *drain.Signal
}

// Service serves MetricService, but for TailMetrics.
type Service struct {
	runicornapiv1.UnimplementedMetricServiceServer
	config   Config
	resolver target.Resolver
	reader   source.Reader
}

// New returns the service.
func New(c Config) *Service {
	return &Service{config: c, resolver: target.Resolver{Fleet: c.Fleet}, reader: source.Reader{Cache: c.Cache}}
}

// ListMetrics says which metrics an experiment has.
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

// GetMetrics gets the merged view of an experiment's metrics.
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

// CompareExperiments lays metrics of several experiments side by side.
func (s *Service) CompareExperiments(ctx context.Context, req *runicornapiv1.CompareExperimentsRequest) (*runicornapiv1.CompareExperimentsResponse, error) {
	runs, err := s.selectRuns(ctx, req)
	if err != nil {
		return nil, err
	}
	c := newComparison(req, len(runs.entries))
	if err := s.readEach(ctx, runs, c.read); err != nil {
		return nil, err
	}
	comparisons, err := c.comparisons(ctx, runs.entries)
	if err != nil {
		return nil, err
	}
	return answer.CheckSize(&runicornapiv1.CompareExperimentsResponse{
		Comparisons: comparisons,
		NotRead:     runs.notRead,
		Complete:    len(runs.notRead) == 0,
	})
}

// FindBestExperiment finds the experiment with the best value of a metric.
func (s *Service) FindBestExperiment(ctx context.Context, req *runicornapiv1.FindBestExperimentRequest) (*runicornapiv1.FindBestExperimentResponse, error) {
	runs, err := s.selectRuns(ctx, req)
	if err != nil {
		return nil, err
	}
	finder := newBestFinder(req, len(runs.entries))
	if err := s.readEach(ctx, runs, finder.read); err != nil {
		return nil, err
	}
	resp := finder.result(runs.entries)
	resp.ExaminedCount = convert.Clamp32(int64(runs.read))
	resp.NotRead, resp.Complete = runs.notRead, len(runs.notRead) == 0
	return answer.CheckSize(resp)
}
