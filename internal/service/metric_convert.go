package service

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// metricKinds are the kinds of cells. KindNone is a metric of which only nulls
// are known, on Viewers that cannot say what they were: a number that was not
// finite is the only thing that a null can hide.
var metricKinds = map[eventlog.Kind]runicornapiv1.MetricKind{
	eventlog.KindNone:    runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindNumber:  runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindBoolean: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN,
	eventlog.KindText:    runicornapiv1.MetricKind_METRIC_KIND_TEXT,
}

// fidelities are what the origins of a run promise.
var fidelities = map[runsource.Origin]runicornapiv1.Fidelity{
	runsource.FromEventLog:    runicornapiv1.Fidelity_FIDELITY_EVENT_LOG,
	runsource.FromMergedTable: runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE,
}

// metricSelector is the part of a request that selects points.
type metricSelector interface {
	GetMetricNames() []string
	GetMetricPrefixes() []string
}

// metricSelection converts what a request selects, over all steps.
func metricSelection(req metricSelector) eventlog.Selection {
	return eventlog.Selection{Names: req.GetMetricNames(), Prefixes: req.GetMetricPrefixes()}
}

// metricSeries converts a series. The message shares its columns.
func metricSeries(s *eventlog.Series) *runicornapiv1.MetricSeries {
	out := &runicornapiv1.MetricSeries{
		MetricName: validText(s.Name),
		Kind:       metricKinds[s.Kind],
		Steps:      s.Steps,
		Times:      s.Times,
		Values:     s.Values,
		Texts:      validTexts(s.Texts),
		Positions:  s.Positions,
	}
	for _, e := range s.Exact {
		out.Exact = append(out.Exact, &runicornapiv1.ExactInteger{
			Index: uint32(e.Index), Decimal: validText(e.Text), //nolint:gosec // an index in a message
		})
	}
	return out
}

// validTexts makes texts marshal. The column may be shared, so it is not changed.
func validTexts(texts []string) []string {
	malformed := func(text string) bool { return !utf8.ValidString(text) }
	if !slices.ContainsFunc(texts, malformed) {
		return texts
	}
	texts = slices.Clone(texts)
	for i, text := range texts {
		texts[i] = validText(text)
	}
	return texts
}

// metricInfo converts what one metric and kind amounts to.
func metricInfo(s *eventlog.Stat, origin runsource.Origin) *runicornapiv1.MetricInfo {
	out := &runicornapiv1.MetricInfo{
		MetricName: validText(s.Name),
		Kind:       metricKinds[s.Kind],
		Count:      int64(s.Count),
		FirstStep:  s.FirstStep,
		LastStep:   s.LastStep,
		LastValue:  lastValue(&s.Last),
	}
	if s.LastTime != 0 {
		out.LastTime = unixTime(s.LastTime)
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

// lastValue converts a cell; there is none of a metric without points. A number
// that a double rounds is an integer.
func lastValue(c *eventlog.Cell) *runicornapiv1.Value {
	switch c.Kind {
	case eventlog.KindNumber:
		if c.Exact != "" {
			return integerValue(c.Exact)
		}
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Number{Number: c.Number}}
	case eventlog.KindBoolean:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Boolean{Boolean: c.Number != 0}}
	case eventlog.KindText:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: validText(c.Text)}}
	}
	return nil
}

// integerValue converts the decimal digits of an integer, which may have more
// than 64 bits.
func integerValue(digits string) *runicornapiv1.Value {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: n}}
	}
	return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Json{Json: validText(digits)}}
}

// metricsAnswer is the answer with a run's points.
func metricsAnswer(t target, v *runcache.View, series []*runicornapiv1.MetricSeries) *runicornapiv1.GetMetricsResponse {
	return &runicornapiv1.GetMetricsResponse{
		Series:                series,
		Fidelity:              fidelities[v.Origin],
		Viewer:                t.Name,
		RunId:                 t.runID,
		MalformedLineCount:    int64(v.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(v.LinesWithoutStep), //nolint:gosec // as above
		ReadTime:              timestamppb.New(v.ReadTime),
	}
}

// metricListAnswer is the answer about which metrics a run has.
func metricListAnswer(t target, v *runcache.View, selection eventlog.Selection) *runicornapiv1.ListMetricsResponse {
	out := &runicornapiv1.ListMetricsResponse{
		Fidelity:              fidelities[v.Origin],
		Viewer:                t.Name,
		RunId:                 t.runID,
		StepCount:             int64(v.Table.Rows()),
		MalformedLineCount:    int64(v.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(v.LinesWithoutStep), //nolint:gosec // as above
		ReadTime:              timestamppb.New(v.ReadTime),
	}
	stats := v.Table.Stats(selection)
	for i := range stats {
		out.Metrics = append(out.Metrics, metricInfo(&stats[i], v.Origin))
	}
	return out
}
