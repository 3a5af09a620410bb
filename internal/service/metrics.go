package service

import (
	"context"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// metricService serves MetricService.
type metricService struct {
	runicornv1.UnimplementedMetricServiceServer
	Deps
}

// ListMetrics says which metrics an experiment has.
func (s *metricService) ListMetrics(ctx context.Context, req *runicornv1.ListMetricsRequest) (*runicornv1.ListMetricsResponse, error) {
	t, err := s.target(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	var resp *runicornv1.ListMetricsResponse
	err = s.readRun(ctx, t, func(v *runlog.View) error {
		resp = metricListAnswer(t, v, metricSelection(req))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return checkSize(resp)
}

// GetMetrics gets the merged view of an experiment's metrics.
func (s *metricService) GetMetrics(ctx context.Context, req *runicornv1.GetMetricsRequest) (*runicornv1.GetMetricsResponse, error) {
	t, err := s.target(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	var resp *runicornv1.GetMetricsResponse
	err = s.readRun(ctx, t, func(v *runlog.View) error {
		series, err := newPicker(req).series(v)
		resp = metricsAnswer(t, v, series)
		return err
	})
	if err != nil {
		return nil, err
	}
	return checkSize(resp)
}

// CompareExperiments lays metrics of several experiments side by side.
func (s *metricService) CompareExperiments(ctx context.Context, req *runicornv1.CompareExperimentsRequest) (*runicornv1.CompareExperimentsResponse, error) {
	chosen, err := s.choose(ctx, req)
	if err != nil {
		return nil, err
	}
	c := newComparison(req, len(chosen.entries))
	if err := s.readEach(ctx, chosen, c.read); err != nil {
		return nil, err
	}
	return checkSize(&runicornv1.CompareExperimentsResponse{
		Comparisons: c.comparisons(chosen.entries),
		NotRead:     chosen.notRead,
		Complete:    len(chosen.notRead) == 0,
	})
}

// FindBestExperiment finds the experiment with the best value of a metric.
func (s *metricService) FindBestExperiment(ctx context.Context, req *runicornv1.FindBestExperimentRequest) (*runicornv1.FindBestExperimentResponse, error) {
	chosen, err := s.choose(ctx, req)
	if err != nil {
		return nil, err
	}
	j := newJudge(req, len(chosen.entries))
	if err := s.readEach(ctx, chosen, j.read); err != nil {
		return nil, err
	}
	resp := j.verdict(chosen.entries)
	resp.ExaminedCount = clamp32(int64(chosen.read))
	resp.NotRead, resp.Complete = chosen.notRead, len(chosen.notRead) == 0
	return checkSize(resp)
}
