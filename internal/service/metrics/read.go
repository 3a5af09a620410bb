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

// minPointSize is the minimum size of a point in a message, in bytes: a step, a time and
// a short text.
const minPointSize = 11

// seriesReader reads the points of one GetMetrics.
type seriesReader struct {
	selection eventlog.Selection
	limit     int // of the first points of each series; none if 0
	last      int // of the newest ones; none if 0
	maxPoints int // of a downsampled series; all points if 0
}

func newSeriesReader(req *runicornapiv1.GetMetricsRequest) *seriesReader {
	r := &seriesReader{
		selection: convert.Selection(req),
		limit:     int(req.GetLimit()),
		last:      int(req.GetLast()),
		maxPoints: int(req.GetDownsample().GetMaxPoints()),
	}
	r.selection.MinStep, r.selection.MaxStep = req.MinStep, req.MaxStep
	return r
}

// read reads metric by metric, so that no more than one of them is copied
// beyond what the answer can carry.
func (r *seriesReader) read(ctx context.Context, v *runcache.View) ([]*runicornapiv1.MetricSeries, error) {
	var out []*runicornapiv1.MetricSeries
	remaining, cells := answer.MaxSize, v.Table.Cells()
	for _, name := range v.Table.Names(r.selection) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// The points have to be counted first to say how many there were before the
		// limit, or because there may be far too many.
		count := r.limit > 0 || r.last > 0 || cells > remaining/minPointSize
		series, err := r.readMetric(v, name, remaining, count)
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

// readMetric reads the points of one metric, one series per kind. More than maxBytes
// bytes are refused: if the points are counted, before anything is copied.
func (r *seriesReader) readMetric(v *runcache.View, name string, maxBytes int, count bool) ([]*runicornapiv1.MetricSeries, error) {
	single := r.selection
	single.Names, single.Prefixes = []string{name}, nil
	var counts [eventlog.KindText + 1]int
	if count {
		for _, s := range v.Table.Stats(single) {
			counts[s.Kind] = s.Count
		}
	}
	if r.minSize(counts[:]) > maxBytes {
		return nil, answer.TooLarge()
	}
	var out []*runicornapiv1.MetricSeries
	series := r.copySeries(v.Table, single)
	for i := range series {
		s := &series[i]
		total := max(counts[s.Kind], s.Len())
		points.Downsample(s, r.maxPoints)
		out = append(out, convert.Series(s))
		if s.Len() < total {
			out[i].ReturnedCount, out[i].TotalCount = new(int64(s.Len())), new(int64(total))
		}
	}
	if v.Origin == runsource.FromMergedTable {
		out = withIndeterminate(out, name, v.Table.Indeterminate(name))
	}
	return out, nil
}

// minSize is the least size of the series with as many points.
func (r *seriesReader) minSize(counts []int) int {
	size := 0
	for _, n := range counts {
		for _, bound := range []int{r.limit, r.last, r.maxPoints} {
			if bound > 0 {
				n = min(n, bound)
			}
		}
		size += n * minPointSize
	}
	return size
}

// copySeries copies the selected points, or the first or newest of each series.
func (r *seriesReader) copySeries(t *eventlog.Table, selection eventlog.Selection) []eventlog.Series {
	switch {
	case r.limit > 0:
		return t.First(selection, r.limit)
	case r.last > 0:
		return t.Last(selection, r.last)
	}
	return t.Series(selection)
}

// withIndeterminate says how many cells of a metric may have been NaN or ±Inf;
// a metric that has no other cells is a series without points.
func withIndeterminate(series []*runicornapiv1.MetricSeries, name string, cells int) []*runicornapiv1.MetricSeries {
	if len(series) == 0 && cells > 0 {
		series = append(series, convert.Series(&eventlog.Series{Name: name, Kind: eventlog.KindNumber}))
	}
	for _, s := range series {
		s.IndeterminateCellCount = new(int64(cells))
	}
	return series
}

// keepFinite leaves the finite values of a series.
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
