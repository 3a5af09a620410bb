package metrics

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

const (
	// minComparedPointSize is the minimum size in bytes of a point in the response: its
	// row and its value.
	minComparedPointSize = 9
	// maxBufferedPoints is the maximum number of points that are buffered for an evenly
	// spaced axis, whose end is that of the longest run. They take 256 MiB.
	maxBufferedPoints = 16 << 20
)

// curve is one metric of one experiment in a comparison.
type curve struct {
	name     string
	steps    []int64   // of the points, if the comparison is aligned by step
	seconds  []float64 // since the run's first point, if it is aligned by time
	values   []float64
	total    int64
	fidelity runicornapiv1.Fidelity
}

// comparison is one call of CompareExperiments.
type comparison struct {
	selection eventlog.Selection
	byTime    bool
	maxPoints int       // 0 means all points
	curves    [][]curve // by experiment; each element is written by one goroutine
	points    atomic.Int64
}

func newComparison(req *runicornapiv1.CompareExperimentsRequest, runs int) *comparison {
	c := &comparison{
		selection: convert.Selection(req),
		byTime:    req.GetAlignment() == runicornapiv1.Alignment_ALIGNMENT_RELATIVE_TIME,
		maxPoints: int(req.GetDownsample().GetMaxPoints()),
		curves:    make([][]curve, runs),
	}
	c.selection.MinStep, c.selection.MaxStep = req.MinStep, req.MaxStep
	return c
}

// read adds the curves of one experiment.
func (c *comparison) read(ctx context.Context, i int, v *runcache.View) error {
	c.curves[i] = nil
	points, q := 0, eventlog.Query{MinStep: c.selection.MinStep, MaxStep: c.selection.MaxStep}
	if !c.byTime { // with times, all points are needed
		q.MaxPoints = c.maxPoints
	}
	for _, name := range v.Summary().Names(c.selection) {
		if err := ctx.Err(); err != nil {
			return err
		}
		series, err := v.ReadMetric(name, q)
		if err != nil {
			c.points.Add(int64(-points))
			return err
		}
		for _, s := range series {
			if s.Kind != eventlog.KindNumber {
				continue
			}
			if keepFinite(&s.Series); s.Len() == 0 {
				continue
			}
			cv := c.curve(&s.Series, v)
			cv.total = int64(s.Finite)
			c.curves[i] = append(c.curves[i], cv)
			points += len(cv.values)
			if err := c.countPoints(len(cv.values)); err != nil {
				return err
			}
		}
	}
	return nil
}

// curve converts the finite points of a series.
func (c *comparison) curve(s *eventlog.Series, v *runcache.View) curve {
	cv := curve{name: s.Name, fidelity: convert.Fidelity(v.Origin)}
	switch {
	case c.byTime:
		cv.seconds, cv.values = relative(s, v.FirstTime)
	case c.maxPoints > 0:
		s.Keep(downsample.Pick(s.Steps, s.Values, c.maxPoints))
		fallthrough
	default:
		cv.steps, cv.values = s.Steps, s.Values
	}
	return cv
}

// relative sorts points by time, in seconds since the first one. Of points with the same
// time the one at the highest step is used; points without a time are left out.
func relative(s *eventlog.Series, first float64) (seconds, values []float64) {
	order := make([]int, 0, s.Len())
	for i, at := range s.Times {
		if at != 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(s.Times[a], s.Times[b]) })
	for _, i := range order {
		at := s.Times[i] - first
		if n := len(seconds); n > 0 && seconds[n-1] == at {
			values[n-1] = s.Values[i]
			continue
		}
		seconds, values = append(seconds, at), append(values, s.Values[i])
	}
	return seconds, values
}

// countPoints counts points, and returns an error if there are more than the response can
// hold.
func (c *comparison) countPoints(points int) error {
	total, byGrid := c.points.Add(int64(points)), c.byTime && c.maxPoints > 0
	switch {
	case byGrid && total > maxBufferedPoints:
		return apierr.OverLimit("points held by one comparison",
			"the experiments have too many points to be aligned: compare fewer of them")
	case !byGrid && total > answer.MaxSize/minComparedPointSize:
		return answer.TooLarge()
	}
	return nil
}

// comparisons aligns the curves of each metric.
func (c *comparison) comparisons(ctx context.Context, entries []runs.Entry) ([]*runicornapiv1.MetricComparison, error) {
	type runCurve struct {
		run   *runs.Entry
		curve *curve
	}
	metrics := make(map[string][]runCurve)
	for i := range c.curves {
		for j := range c.curves[i] {
			cv := &c.curves[i][j]
			metrics[cv.name] = append(metrics[cv.name], runCurve{&entries[i], cv})
		}
	}
	out := make([]*runicornapiv1.MetricComparison, 0, len(metrics))
	for name, members := range metrics {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		curves := make([]*curve, 0, len(members))
		m := &runicornapiv1.MetricComparison{MetricName: convert.Text(name)}
		for _, rc := range members {
			curves = append(curves, rc.curve)
			m.Series = append(m.Series, comparedSeries(rc.run, rc.curve))
		}
		c.align(m, curves)
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b *runicornapiv1.MetricComparison) int {
		return cmp.Compare(a.GetMetricName(), b.GetMetricName())
	})
	return out, nil
}

func comparedSeries(e *runs.Entry, cv *curve) *runicornapiv1.ComparedSeries {
	return &runicornapiv1.ComparedSeries{
		Viewer: e.Viewer.Name, RunId: convert.Text(e.Run.ID), ResourceName: convert.Text(e.Target().ResourceName()),
		Values: cv.values, Fidelity: cv.fidelity, TotalCount: cv.total,
	}
}

// align sets the axis, and the rows of each series.
func (c *comparison) align(m *runicornapiv1.MetricComparison, curves []*curve) {
	switch {
	case c.byTime && c.maxPoints > 0:
		m.Seconds = axis(curves, c.maxPoints)
		for i, cv := range curves {
			m.Series[i].Rows, m.Series[i].Values = resampled(cv, m.Seconds)
		}
	case c.byTime:
		m.Seconds = union(curves, func(cv *curve) []float64 { return cv.seconds })
		for i, cv := range curves {
			m.Series[i].Rows = rowsOf(cv.seconds, m.Seconds)
		}
	default:
		m.Steps = union(curves, func(cv *curve) []int64 { return cv.steps })
		for i, cv := range curves {
			m.Series[i].Rows = rowsOf(cv.steps, m.Steps)
		}
	}
}

// union returns the coordinates of all curves in ascending order, without duplicates.
func union[T cmp.Ordered](curves []*curve, coordsOf func(*curve) []T) []T {
	var all []T
	for _, cv := range curves {
		all = append(all, coordsOf(cv)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// rowsOf returns the indexes of the coordinates on the axis; both ascend.
func rowsOf[T cmp.Ordered](coords, axis []T) []uint32 {
	rows := make([]uint32, 0, len(coords))
	row := 0
	for _, at := range coords {
		for axis[row] != at {
			row++
		}
		rows = append(rows, uint32(row)) //nolint:gosec // an index in a message
	}
	return rows
}

// axis returns n evenly spaced coordinates from 0 to the end of the longest curve.
func axis(curves []*curve, n int) []float64 {
	end := 0.0
	for _, cv := range curves {
		if len(cv.seconds) > 0 {
			end = max(end, cv.seconds[len(cv.seconds)-1])
		}
	}
	if end == 0 || n == 1 {
		return []float64{end}
	}
	coords := make([]float64, n)
	for i := range coords {
		coords[i] = end * float64(i) / float64(n-1)
	}
	coords[n-1] = end // without the rounding error of the division
	return coords
}

// resampled returns a curve's last value at or before each coordinate, up to the end of
// the curve.
func resampled(cv *curve, coords []float64) (rows []uint32, values []float64) {
	next := 0
	for row, at := range coords {
		for next < len(cv.seconds) && cv.seconds[next] <= at {
			next++
		}
		if next > 0 && at <= cv.seconds[len(cv.seconds)-1] {
			rows = append(rows, uint32(row)) //nolint:gosec // an index in a message
			values = append(values, cv.values[next-1])
		}
	}
	return rows, values
}
