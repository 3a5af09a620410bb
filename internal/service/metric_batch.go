package service

import (
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// maxBatchPoints is how many points a message has at most, and maxBatchText how
// many bytes of text, unless one text has more.
const (
	maxBatchPoints = 4096
	maxBatchText   = 256 << 10
)

// batchSelection is what a stream wants of batches.
type batchSelection struct {
	eventlog.Selection
	hasPositions bool
	// key is the same for streams that want the same.
	key string
}

func newBatchSelection(req *runicornapiv1.TailMetricsRequest) batchSelection {
	s := batchSelection{Selection: convert.Selection(req), hasPositions: req.GetPositions()}
	s.MinStep, s.MaxStep = req.MinStep, req.MaxStep
	// As a request of these fields only, which is marshalled in one way.
	key, err := proto.MarshalOptions{Deterministic: true}.Marshal(&runicornapiv1.TailMetricsRequest{
		MetricNames: req.GetMetricNames(), MetricPrefixes: req.GetMetricPrefixes(),
		MinStep: req.MinStep, MaxStep: req.MaxStep, Positions: req.GetPositions(),
	})
	if err == nil { // what came over the wire always marshals
		s.key = string(key)
	}
	return s
}

// of selects from a batch. The columns are shared with it and may be read only.
func (s *batchSelection) of(b *runlog.Batch) []eventlog.Series {
	series := b.Select(s.Selection)
	if !s.hasPositions {
		for i := range series {
			series[i].Positions = nil
		}
	}
	return series
}

// batchMessage converts selected points; nil if there are none.
func batchMessage(series []eventlog.Series, origin runlog.Origin) *runicornapiv1.MetricBatch {
	if len(series) == 0 {
		return nil
	}
	out := &runicornapiv1.MetricBatch{Fidelity: convert.Fidelity(origin), Series: make([]*runicornapiv1.MetricSeries, 0, len(series))}
	for i := range series {
		out.Series = append(out.Series, convert.Series(&series[i]))
	}
	return out
}

// newestTime is the newest time of a batch, 0 if it has none.
func newestTime(m *runicornapiv1.MetricBatch) (newest float64) {
	for _, s := range m.GetSeries() {
		for _, at := range s.GetTimes() {
			newest = max(newest, at)
		}
	}
	return newest
}

// downsampleSeries leaves at most maxPoints of a series, whose columns are the caller's own;
// none are left out where that is 0.
func downsampleSeries(s *eventlog.Series, maxPoints int) {
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

// historyBuffer is the selected points of a history that is to be downsampled as a
// whole: all of one run, within the budget.
type historyBuffer struct {
	reservation
	order  []*eventlog.Series
	series map[seriesKey]*eventlog.Series
	origin runlog.Origin
	points int64
}

type seriesKey struct {
	name string
	kind eventlog.Kind
}

func newHistoryBuffer(b *budget) *historyBuffer {
	return &historyBuffer{reservation: reservation{budget: b}, series: make(map[seriesKey]*eventlog.Series)}
}

// append copies points behind those that are buffered.
func (h *historyBuffer) append(series []eventlog.Series, origin runlog.Origin) error {
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
		h.points += int64(from.Len())
	}
	return nil
}

// add takes series whose columns are the caller's own, as a whole.
func (h *historyBuffer) add(series []eventlog.Series, origin runlog.Origin) error {
	h.origin = origin
	for i := range series {
		s := &series[i]
		if err := h.grow(seriesBytes(s)); err != nil {
			return err
		}
		h.order = append(h.order, s)
		h.points += int64(s.Len())
	}
	return nil
}

// seriesBytes estimates the memory of a series that grows by appending.
func seriesBytes(s *eventlog.Series) int64 {
	const word, text = 8, 16
	n := word*(len(s.Steps)+len(s.Times)+len(s.Values)+len(s.Positions)) + text*len(s.Texts)
	for _, t := range s.Texts {
		n += len(t)
	}
	return int64(n) * 5 / 4
}

// messages downsamples the buffered series, and splits them into messages.
func (h *historyBuffer) messages(maxPoints int) []*runicornapiv1.MetricBatch {
	var out []*runicornapiv1.MetricBatch
	remaining := 0
	for _, s := range h.order {
		total := s.Len()
		downsampleSeries(s, maxPoints)
		for _, part := range splitSeries(s, total) {
			n := len(part.GetSteps())
			if n > remaining || len(part.GetTexts()) > 0 { // texts may be long: each part of them is a message
				out, remaining = append(out, &runicornapiv1.MetricBatch{Fidelity: convert.Fidelity(h.origin)}), maxBatchPoints
			}
			last := out[len(out)-1]
			last.Series = append(last.Series, part)
			remaining -= n
		}
	}
	return out
}

// splitSeries converts a series in parts of at most maxBatchPoints, and says in
// each how many of the total were kept, if not all were.
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

// splitIndex is where the part of a series ends that begins at a point.
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
