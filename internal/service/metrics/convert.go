package metrics

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// metricInfo converts the statistics of one metric and kind.
func metricInfo(s *eventlog.Stat, origin runsource.Origin) *runicornapiv1.MetricInfo {
	out := &runicornapiv1.MetricInfo{
		MetricName: convert.Text(s.Name),
		Kind:       convert.MetricKind(s.Kind),
		Count:      int64(s.Count),
		FirstStep:  s.FirstStep,
		LastStep:   s.LastStep,
		LastValue:  lastValue(&s.Last),
	}
	if s.LastTime != 0 {
		out.LastTime = convert.UnixTime(s.LastTime)
	}
	if s.Kind == eventlog.KindNumber && s.HasRange {
		out.MinValue, out.MaxValue = &s.Min, &s.Max
	}
	switch {
	case origin == runsource.FromMergedTable:
		out.IndeterminateCellCount = new(int64(s.Indeterminate))
	case s.Kind == eventlog.KindNumber:
		out.NonFiniteCount = new(int64(s.NonFinite))
	}
	return out
}

// lastValue converts a cell; nil for a metric without points. An integer beyond 2^53
// stays an integer: a JSON number would lose digits.
func lastValue(c *eventlog.Cell) *runicornapiv1.Value {
	switch c.Kind {
	case eventlog.KindNumber:
		const first, limit = 1 << 53, 1 << 63
		switch size := math.Abs(c.Number); {
		case c.Exact != "":
			return integerValue(c.Exact)
		case size > first && size < limit: // every such double is an integer
			return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: int64(c.Number)}}
		}
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Number{Number: c.Number}}
	case eventlog.KindBoolean:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Boolean{Boolean: c.Number != 0}}
	case eventlog.KindText:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: convert.Text(c.Text)}}
	}
	return nil
}

// integerValue converts the decimal digits of an integer of any size.
func integerValue(digits string) *runicornapiv1.Value {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: n}}
	}
	return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Json{Json: convert.Text(digits)}}
}

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
		out.Metrics = append(out.Metrics, metricInfo(&stats[i], v.Origin))
	}
	return out
}
