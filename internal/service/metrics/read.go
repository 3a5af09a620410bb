package metrics

import (
	"context"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
)

// minPointSize is the minimum size in bytes of a point in a message: a step, a time and a
// short text.
const minPointSize = 11

// seriesReader reads the points for one call of GetMetrics.
type seriesReader struct {
	selection eventlog.Selection
	query     eventlog.Query
}

func newSeriesReader(req *runicornapiv1.GetMetricsRequest) *seriesReader {
	return &seriesReader{selection: convert.Selection(req), query: eventlog.Query{
		MinStep: req.MinStep, MaxStep: req.MaxStep, //nolint:protogetter // nil is no bound
		Limit: int(req.GetLimit()), Last: int(req.GetLast()), MaxPoints: int(req.GetDownsample().GetMaxPoints()),
	}}
}

// read reads one metric after the other, so that at most one is copied beyond what the
// response can hold.
func (r *seriesReader) read(ctx context.Context, v *runcache.View) ([]*runicornapiv1.MetricSeries, error) {
	var out []*runicornapiv1.MetricSeries
	remaining := answer.MaxSize
	for _, name := range v.Summary().Names(r.selection) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		series, err := r.readMetric(v, name, remaining)
		if err != nil {
			return nil, err
		}
		for _, s := range series {
			remaining -= proto.Size(s)
		}
		if remaining < 0 {
			return nil, answer.TooLarge()
		}
		out = append(out, series...)
	}
	return out, nil
}

// readMetric reads the points of one metric, one series per kind. If the points are known
// to exceed maxBytes by far, it refuses them before it copies anything or reads a log.
func (r *seriesReader) readMetric(v *runcache.View, name string, maxBytes int) (out []*runicornapiv1.MetricSeries, err error) {
	if r.minSize(v, name) > maxBytes {
		return nil, answer.TooLarge()
	}
	samples, err := v.ReadMetric(name, r.query)
	if err != nil {
		return nil, err
	}
	for i := range samples {
		s := &samples[i]
		points.Downsample(&s.Series, r.query.MaxPoints)
		message := convert.Series(&s.Series)
		if s.Len() < s.Total {
			message.ReturnedCount, message.TotalCount = new(int64(s.Len())), new(int64(s.Total))
		}
		out = append(out, message)
	}
	if v.Origin == runsource.FromMergedTable {
		out = withIndeterminate(out, name, v.Summary().Indeterminate(name))
	}
	return out, nil
}

// minSize returns a lower bound of the size of a metric's points in the response.
func (r *seriesReader) minSize(v *runcache.View, name string) (size int) {
	if v.Table == nil && (r.query.MinStep != nil || r.query.MaxStep != nil) {
		return 0
	}
	one := eventlog.Selection{Names: []string{name}, MinStep: r.query.MinStep, MaxStep: r.query.MaxStep}
	for _, s := range v.Summary().Stats(one) {
		n := s.Count
		for _, bound := range []int{r.query.Limit, r.query.Last, r.query.MaxPoints} {
			if bound > 0 {
				n = min(n, bound)
			}
		}
		size += n * minPointSize
	}
	return size
}

// withIndeterminate sets how many cells of a metric may have been NaN or ±Inf. A metric
// that has no other cells becomes a series without points.
func withIndeterminate(series []*runicornapiv1.MetricSeries, name string, cells int) []*runicornapiv1.MetricSeries {
	if len(series) == 0 && cells > 0 {
		series = append(series, convert.Series(&eventlog.Series{Name: name, Kind: eventlog.KindNumber}))
	}
	for _, s := range series {
		s.IndeterminateCellCount = new(int64(cells))
	}
	return series
}

// keepFinite removes the values that are not finite.
func keepFinite(s *eventlog.Series) {
	kept := make([]int, 0, s.Len())
	for i, v := range s.Values {
		if convert.IsFinite(v) {
			kept = append(kept, i)
		}
	}
	if len(kept) < s.Len() {
		s.Keep(kept)
	}
}
