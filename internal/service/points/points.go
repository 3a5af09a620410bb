// Package points converts points to messages: it downsamples and splits series, and
// limits the memory of the histories that it buffers for that.
package points

import (
	"iter"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// maxBatchPoints is the maximum number of points in a message, and maxBatchText the
// maximum number of bytes of names and of texts.
const (
	maxBatchPoints = 4096
	maxBatchText   = 256 << 10
)

// Message converts selected points; nil if there are none.
func Message(series []eventlog.Series, origin runsource.Origin) *runicornapiv1.MetricBatch {
	if len(series) == 0 {
		return nil
	}
	out := &runicornapiv1.MetricBatch{Fidelity: convert.Fidelity(origin), Series: make([]*runicornapiv1.MetricSeries, 0, len(series))}
	for i := range series {
		out.Series = append(out.Series, convert.Series(&series[i]))
	}
	return out
}

// Downsample reduces a series to maxPoints; 0 keeps all points. The caller must own the
// columns.
func Downsample(s *eventlog.Series, maxPoints int) {
	if maxPoints == 0 || s.Len() <= maxPoints {
		return
	}
	switch s.Kind {
	case eventlog.KindText:
		s.Keep(downsample.PickChanges(s.Texts, maxPoints))
	case eventlog.KindBoolean:
		s.Keep(downsample.PickChanges(s.Values, maxPoints))
	default:
		s.Keep(downsample.Pick(s.Steps, s.Values, maxPoints))
	}
}

// Buffer holds all selected points of one run that is to be downsampled as a whole,
// within a budget.
type Buffer struct {
	budget   *Budget
	reserved int64 // bytes of the budget
	order    []*eventlog.Series
	series   map[seriesKey]*eventlog.Series
	origin   runsource.Origin
	Points   int64
}

type seriesKey struct {
	name string
	kind eventlog.Kind
}

// NewBuffer returns an empty buffer within a budget.
func NewBuffer(b *Budget) *Buffer {
	return &Buffer{budget: b, series: make(map[seriesKey]*eventlog.Series)}
}

// Append copies points to the end of the buffer.
func (h *Buffer) Append(series []eventlog.Series, origin runsource.Origin) error {
	h.origin = origin
	for i := range series {
		from := &series[i]
		if err := h.grow(seriesBytes(from)); err != nil {
			return err
		}
		key := seriesKey{from.Name, from.Kind}
		to := h.series[key]
		if to == nil {
			to = &eventlog.Series{Name: from.Name, Kind: from.Kind}
			h.series[key] = to
			h.order = append(h.order, to)
		}
		for _, e := range from.Exact {
			to.Exact = append(to.Exact, eventlog.Exact{Index: to.Len() + e.Index, Text: e.Text})
		}
		to.Steps = append(to.Steps, from.Steps...)
		to.Times = append(to.Times, from.Times...)
		to.Values = append(to.Values, from.Values...)
		to.Texts = append(to.Texts, from.Texts...)
		to.Positions = append(to.Positions, from.Positions...)
		h.Points += int64(from.Len())
	}
	return nil
}

// Add adds complete series. It takes ownership of their columns.
func (h *Buffer) Add(series []eventlog.Series, origin runsource.Origin) error {
	h.origin = origin
	for i := range series {
		s := &series[i]
		if err := h.grow(seriesBytes(s)); err != nil {
			return err
		}
		h.order = append(h.order, s)
		h.Points += int64(s.Len())
	}
	return nil
}

// seriesBytes estimates the memory in bytes of a series that grows by appending.
func seriesBytes(s *eventlog.Series) int64 {
	const word, text = 8, 16
	n := word*(len(s.Steps)+len(s.Times)+len(s.Values)+len(s.Positions)) + text*len(s.Texts)
	for _, t := range s.Texts {
		n += len(t)
	}
	return int64(n) * 5 / 4
}

// Messages downsamples the buffered series and splits them into messages, each of which
// is made on demand.
func (h *Buffer) Messages(maxPoints int) iter.Seq[*runicornapiv1.MetricBatch] {
	return func(yield func(*runicornapiv1.MetricBatch) bool) {
		batch, remaining, names := &runicornapiv1.MetricBatch{}, 0, 0
		for _, s := range h.order {
			total := s.Len()
			Downsample(s, maxPoints)
			for _, part := range splitSeries(s, total) {
				n := len(part.GetSteps())
				names += len(part.GetMetricName())
				if n > remaining || names > maxBatchText || len(part.GetTexts()) > 0 { // texts may be long: each part of them is a message
					if len(batch.GetSeries()) > 0 && !yield(batch) {
						return
					}
					batch, remaining = &runicornapiv1.MetricBatch{Fidelity: convert.Fidelity(h.origin)}, maxBatchPoints
					names = len(part.GetMetricName())
				}
				batch.Series = append(batch.Series, part)
				remaining -= n
			}
		}
		if len(batch.GetSeries()) > 0 {
			yield(batch)
		}
	}
}

// splitSeries converts a series in parts of at most maxBatchPoints. If points were left
// out, each part has the returned and the total count.
func splitSeries(s *eventlog.Series, total int) []*runicornapiv1.MetricSeries {
	var parts []*runicornapiv1.MetricSeries
	returned := s.Len()
	for from := 0; from < returned; {
		to := splitIndex(s, from)
		part := eventlog.Series{
			Name: s.Name, Kind: s.Kind, Steps: s.Steps[from:to], Times: s.Times[from:to],
			Values: sliceColumn(s.Values, from, to), Texts: sliceColumn(s.Texts, from, to), Positions: sliceColumn(s.Positions, from, to),
		}
		for _, e := range s.Exact {
			if e.Index >= from && e.Index < to {
				part.Exact = append(part.Exact, eventlog.Exact{Index: e.Index - from, Text: e.Text})
			}
		}
		message := convert.Series(&part)
		if returned < total {
			message.ReturnedCount, message.TotalCount = new(int64(returned)), new(int64(total))
		}
		parts = append(parts, message)
		from = to
	}
	return parts
}

// splitIndex returns the end of the part of a series that begins at from.
func splitIndex(s *eventlog.Series, from int) int {
	to := min(from+maxBatchPoints, s.Len())
	if s.Kind != eventlog.KindText {
		return to
	}
	bytes := 0
	for i := from; i < to; i++ {
		if bytes += len(s.Texts[i]); bytes > maxBatchText && i > from {
			return i
		}
	}
	return to
}

func sliceColumn[T any](column []T, from, to int) []T {
	if len(column) == 0 {
		return nil
	}
	return column[from:to]
}
