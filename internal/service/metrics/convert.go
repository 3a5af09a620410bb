package metrics

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// metricsAnswer returns the response with a run's points.
func metricsAnswer(t target.Run, v *runcache.View, series []*runicornapiv1.MetricSeries) *runicornapiv1.GetMetricsResponse {
	return &runicornapiv1.GetMetricsResponse{
		Series:                series,
		Fidelity:              convert.Fidelity(v.Origin),
		Viewer:                t.Name,
		RunId:                 t.RunID,
		MalformedLineCount:    int64(v.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(v.LinesWithoutStep), //nolint:gosec // as above
		ReadTime:              timestamppb.New(v.ReadTime),
		Limitations:           v.Limitations(),
	}
}

// metricListAnswer returns the response with the metrics that a run has.
func metricListAnswer(t target.Run, v *runcache.View, selection eventlog.Selection) *runicornapiv1.ListMetricsResponse {
	out := &runicornapiv1.ListMetricsResponse{
		Fidelity:              convert.Fidelity(v.Origin),
		Viewer:                t.Name,
		RunId:                 t.RunID,
		StepCount:             int64(v.Summary().Rows()),
		MalformedLineCount:    int64(v.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(v.LinesWithoutStep), //nolint:gosec // as above
		ReadTime:              timestamppb.New(v.ReadTime),
		Limitations:           v.Limitations(),
	}
	stats := v.Summary().Stats(selection)
	for i := range stats {
		out.Metrics = append(out.Metrics, convert.MetricInfo(&stats[i], v.Origin))
	}
	return out
}
