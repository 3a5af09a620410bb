package metrics

import (
	"context"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/digest"
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
	remaining, cells := answer.MaxSize, 0
	if v.Table != nil {
		cells = v.Table.Cells()
	}
	for _, name := range v.Summary().Names(r.selection) {
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
	read := r.readTable
	if v.Table == nil {
		read = r.readDigest
	}
	series, err := read(v, name, maxBytes, count)
	if err != nil {
		return nil, err
	}
	var out []*runicornapiv1.MetricSeries
	for i := range series {
		s := &series[i]
		points.Downsample(&s.Series, r.maxPoints)
		out = append(out, convert.Series(&s.Series))
		if s.Len() < s.Total {
			out[i].ReturnedCount, out[i].TotalCount = new(int64(s.Len())), new(int64(s.Total))
		}
	}
	if v.Origin == runsource.FromMergedTable {
		out = withIndeterminate(out, name, v.Summary().Indeterminate(name))
	}
	return out, nil
}

// readTable copies the points of one metric.
func (r *seriesReader) readTable(v *runcache.View, name string, maxBytes int, count bool) (out []digest.Series, err error) {
	single := r.selection
	single.Names, single.Prefixes = []string{name}, nil
	counts, size := [eventlog.KindText + 1]int{}, 0
	if count {
		counts, size = r.count(v.Table, single)
	}
	if size > maxBytes {
		return nil, answer.TooLarge()
	}
	for _, s := range r.copySeries(v.Table, single) {
		out = append(out, digest.Series{Series: s, Total: max(counts[s.Kind], s.Len())})
	}
	return out, nil
}

// readDigest copies the points of one metric as far as the digest has them. What would be
// refused anyway is refused here: the log is not read for it.
func (r *seriesReader) readDigest(v *runcache.View, name string, maxBytes int, _ bool) ([]digest.Series, error) {
	series, ok := v.Digest.Read(name, digest.Query{
		MinStep: r.selection.MinStep, MaxStep: r.selection.MaxStep, Limit: r.limit, Last: r.last, MaxPoints: r.maxPoints,
	})
	if ok {
		return series, nil
	}
	if r.selection.MinStep == nil && r.selection.MaxStep == nil {
		if _, size := r.count(v.Digest, eventlog.Selection{Names: []string{name}}); size > maxBytes {
			return nil, answer.TooLarge()
		}
	}
	return nil, runcache.ErrNeedsTable
}

// count counts the points by kind, and says what the least size of the answer is.
func (r *seriesReader) count(from runcache.Summary, selection eventlog.Selection) (counts [eventlog.KindText + 1]int, size int) {
	for _, s := range from.Stats(selection) {
		counts[s.Kind] = s.Count
	}
	return counts, r.minSize(counts[:])
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
