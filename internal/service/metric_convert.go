package service

import (
	"slices"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// metricKinds are the kinds of cells. KindNone is a metric of which only nulls
// are known, on Viewers that cannot say what they were: a number that was not
// finite is the only thing that a null can hide.
var metricKinds = map[eventlog.Kind]runicornv1.MetricKind{
	eventlog.KindNone:    runicornv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindNumber:  runicornv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindBoolean: runicornv1.MetricKind_METRIC_KIND_BOOLEAN,
	eventlog.KindText:    runicornv1.MetricKind_METRIC_KIND_TEXT,
}

// fidelities are what the origins of a run promise.
var fidelities = map[runlog.Origin]runicornv1.Fidelity{
	runlog.FromEventLog:    runicornv1.Fidelity_FIDELITY_EVENT_LOG,
	runlog.FromMergedTable: runicornv1.Fidelity_FIDELITY_MERGED_TABLE,
}

// selector is the part of a request that selects points.
type selector interface {
	GetMetricNames() []string
	GetMetricPrefixes() []string
}

// metricSelection converts what a request selects, over all steps.
func metricSelection(req selector) eventlog.Selection {
	return eventlog.Selection{Names: req.GetMetricNames(), Prefixes: req.GetMetricPrefixes()}
}

// metricSeries converts a series. The message shares its columns.
func metricSeries(s *eventlog.Series) *runicornv1.MetricSeries {
	out := &runicornv1.MetricSeries{
		MetricName: validText(s.Name),
		Kind:       metricKinds[s.Kind],
		Steps:      s.Steps,
		Times:      s.Times,
		Values:     s.Values,
		Texts:      validTexts(s.Texts),
		Positions:  s.Positions,
	}
	for _, e := range s.Exact {
		out.Exact = append(out.Exact, &runicornv1.ExactInteger{
			Index: uint32(e.Index), Decimal: validText(e.Text), //nolint:gosec // a place in a message
		})
	}
	return out
}

// validTexts makes texts marshal. The column may be shared, so it is not changed.
func validTexts(texts []string) []string {
	isBad := func(text string) bool { return !utf8.ValidString(text) }
	if !slices.ContainsFunc(texts, isBad) {
		return texts
	}
	texts = slices.Clone(texts)
	for i, text := range texts {
		texts[i] = validText(text)
	}
	return texts
}

// metricInfo converts what one metric and kind amounts to.
func metricInfo(s *eventlog.Stat, origin runlog.Origin) *runicornv1.MetricInfo {
	out := &runicornv1.MetricInfo{
		MetricName: validText(s.Name),
		Kind:       metricKinds[s.Kind],
		Count:      int64(s.Count),
		FirstStep:  s.FirstStep,
		LastStep:   s.LastStep,
		LastValue:  lastValue(&s.Last),
	}
	if s.LastTime != 0 {
		out.LastTime = &s.LastTime
	}
	if s.Kind == eventlog.KindNumber && s.HasRange {
		out.MinValue, out.MaxValue = &s.Min, &s.Max
	}
	switch {
	case origin == runlog.FromMergedTable:
		out.IndeterminateCells = new(int64(s.Indeterminate))
	case s.Kind == eventlog.KindNumber:
		out.NonFiniteCount = new(int64(s.NonFinite))
	}
	return out
}

// lastValue converts a cell; there is none of a metric without points.
func lastValue(c *eventlog.Cell) *runicornv1.LastValue {
	out := &runicornv1.LastValue{Exact: validText(c.Exact)}
	switch c.Kind {
	case eventlog.KindNumber:
		out.Kind = &runicornv1.LastValue_Number{Number: c.Number}
	case eventlog.KindBoolean:
		out.Kind = &runicornv1.LastValue_Flag{Flag: c.Number != 0}
	case eventlog.KindText:
		out.Kind = &runicornv1.LastValue_Text{Text: validText(c.Text)}
	default:
		return nil
	}
	return out
}

// metricsAnswer is the answer with a run's points.
func metricsAnswer(t target, v *runlog.View, series []*runicornv1.MetricSeries) *runicornv1.GetMetricsResponse {
	return &runicornv1.GetMetricsResponse{
		Series:         series,
		Fidelity:       fidelities[v.Origin],
		Viewer:         t.Name,
		RunId:          t.runID,
		MalformedLines: int64(v.MalformedLines), //nolint:gosec // fewer than the file has bytes
		UnplacedPoints: int64(v.UnplacedPoints), //nolint:gosec // as above
		ReadTime:       timestamppb.New(v.ReadTime),
	}
}

// metricListAnswer is the answer about which metrics a run has.
func metricListAnswer(t target, v *runlog.View, selection eventlog.Selection) *runicornv1.ListMetricsResponse {
	out := &runicornv1.ListMetricsResponse{
		Fidelity:       fidelities[v.Origin],
		Viewer:         t.Name,
		RunId:          t.runID,
		StepCount:      int64(v.Table.Rows()),
		MalformedLines: int64(v.MalformedLines), //nolint:gosec // fewer than the file has bytes
		UnplacedPoints: int64(v.UnplacedPoints), //nolint:gosec // as above
		ReadTime:       timestamppb.New(v.ReadTime),
	}
	stats := v.Table.Stats(selection)
	for i := range stats {
		out.Metrics = append(out.Metrics, metricInfo(&stats[i], v.Origin))
	}
	return out
}
