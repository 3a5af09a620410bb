package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"math"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// Point is one value of one metric.
type Point struct {
	Viewer, RunID, Metric string
	// Kind is the kind of the value: NUMBER or BOOLEAN (0 and 1) in Value, TEXT in Text.
	Kind runicornapiv1.MetricKind
	Step int64
	// Time is when the point was logged, in unix seconds, as the SDK wrote it; NaN if
	// unknown.
	Time  float64
	Value float64
	Text  string
	// Exact has the digits of an integer that Value cannot represent, else it is empty.
	Exact string
}

// At returns Time as a time.Time, rounded to microseconds; zero if it is unknown.
func (p Point) At() time.Time {
	if math.IsNaN(p.Time) || math.Abs(p.Time) > 1e11 {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(p.Time * 1e6)))
}

// points returns the points of a series of the contract.
func points(viewer, runID string, s *runicornapiv1.MetricSeries) iter.Seq[Point] {
	return func(yield func(Point) bool) {
		exact := s.GetExact()
		for i, step := range s.GetSteps() {
			p := Point{Viewer: viewer, RunID: runID, Metric: s.GetMetricName(), Kind: s.GetKind(), Step: step, Time: math.NaN()}
			if i < len(s.GetTimes()) {
				p.Time = s.GetTimes()[i]
			}
			if i < len(s.GetValues()) {
				p.Value = s.GetValues()[i]
			}
			if i < len(s.GetTexts()) {
				p.Text = s.GetTexts()[i]
			}
			if len(exact) > 0 && int(exact[0].GetIndex()) == i {
				p.Exact, exact = exact[0].GetDecimal(), exact[1:]
			}
			if !yield(p) {
				return
			}
		}
	}
}

// Series is all points of one metric of one run that have the same kind. Its columns
// are those of the message, of equal length.
type Series struct {
	*runicornapiv1.MetricSeries
	Viewer, RunID string
	// Fidelity is the source of the points, which determines how exact they are.
	Fidelity runicornapiv1.Fidelity
}

// Points returns the points, in the order of the request.
func (s *Series) Points() iter.Seq[Point] { return points(s.Viewer, s.RunID, s.MetricSeries) }

// History is the points of one or several runs.
type History struct {
	// Series is in the order of their first points in the stream.
	Series []*Series
	// Trailer has the counts, and lists data that was too large to read
	// (GetLimitations).
	Trailer *runicornapiv1.StreamTrailer
}

// Metric returns the first series of that name, or nil.
func (h *History) Metric(name string) *Series {
	for _, s := range h.Series {
		if s.GetMetricName() == name {
			return s
		}
	}
	return nil
}

// History reads all points that runs have logged until now into memory: 24 bytes for
// a number. If the stream breaks, the history is read again from its start. If it is
// not complete, History returns an error, for which IsIncomplete is true.
func (c *Client) History(ctx context.Context, request *runicornapiv1.StreamMetricsRequest) (*History, error) {
	attempts := c.conn.attempts("StreamMetrics", c.conn.retries)
	for {
		h, err := c.readHistory(ctx, request)
		if err == nil {
			return h, nil
		}
		if err := attempts.wait(ctx, err); err != nil {
			return nil, err
		}
	}
}

func (c *Client) readHistory(ctx context.Context, request *runicornapiv1.StreamMetricsRequest) (*History, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.MetricService.StreamMetrics(ctx, request)
	if err != nil {
		return nil, err
	}
	h := &historyReader{series: map[seriesKey]*Series{}}
	for {
		m, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && h.Trailer == nil:
			return nil, incomplete("the history is truncated: it has no trailer")
		case errors.Is(err, io.EOF) && h.points != h.Trailer.GetPointCount():
			return nil, incomplete("the history is truncated: received %d of %d points", h.points, h.Trailer.GetPointCount())
		case errors.Is(err, io.EOF):
			return &h.History, nil
		case err != nil:
			return nil, err
		case h.Trailer != nil:
			return nil, incomplete("the history continues after its trailer")
		}
		h.add(m)
	}
}

type seriesKey struct {
	viewer, runID, metric string
	kind                  runicornapiv1.MetricKind
}

// historyReader concatenates the parts of a history.
type historyReader struct {
	History
	series map[seriesKey]*Series
	points int64
}

func (h *historyReader) add(m *runicornapiv1.StreamMetricsResponse) {
	h.Trailer = m.GetTrailer()
	for _, part := range m.GetBatch().GetSeries() {
		h.points += int64(len(part.GetSteps()))
		key := seriesKey{m.GetViewer(), m.GetRunId(), part.GetMetricName(), part.GetKind()}
		if s, ok := h.series[key]; ok {
			appendSeries(s.MetricSeries, part)
			continue
		}
		s := &Series{MetricSeries: part, Viewer: key.viewer, RunID: key.runID, Fidelity: m.GetBatch().GetFidelity()}
		h.series[key] = s
		h.Series = append(h.Series, s)
	}
}

// appendSeries appends the columns of a part to a series.
func appendSeries(s, part *runicornapiv1.MetricSeries) {
	for _, e := range part.GetExact() {
		e.Index += uint32(len(s.GetSteps()))
		s.Exact = append(s.Exact, e)
	}
	s.Steps = append(s.Steps, part.GetSteps()...)
	s.Times = append(s.Times, part.GetTimes()...)
	s.Values = append(s.Values, part.GetValues()...)
	s.Texts = append(s.Texts, part.GetTexts()...)
	s.Positions = append(s.Positions, part.GetPositions()...)
	if part.TotalCount != nil { // each part has the count of the whole series
		s.ReturnedCount, s.TotalCount = part.ReturnedCount, part.TotalCount
	}
	if part.IndeterminateCellCount != nil {
		s.IndeterminateCellCount = part.IndeterminateCellCount
	}
}
