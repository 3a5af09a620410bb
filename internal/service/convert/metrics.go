package convert

import (
	"slices"
	"unicode/utf8"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
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

// Fidelity is what the origin of a run promises.
func Fidelity(origin runsource.Origin) runicornapiv1.Fidelity { return fidelities[origin] }

// MetricKind converts the kind of a cell.
func MetricKind(kind eventlog.Kind) runicornapiv1.MetricKind { return metricKinds[kind] }

// Selector is the part of a request that selects points.
type Selector interface {
	GetMetricNames() []string
	GetMetricPrefixes() []string
}

// Selection converts what a request selects, over all steps.
func Selection(req Selector) eventlog.Selection {
	return eventlog.Selection{Names: req.GetMetricNames(), Prefixes: req.GetMetricPrefixes()}
}

// Series converts a series. The message shares its columns.
func Series(s *eventlog.Series) *runicornapiv1.MetricSeries {
	out := &runicornapiv1.MetricSeries{
		MetricName: Text(s.Name),
		Kind:       MetricKind(s.Kind),
		Steps:      s.Steps,
		Times:      s.Times,
		Values:     s.Values,
		Texts:      texts(s.Texts),
		Positions:  s.Positions,
	}
	for _, e := range s.Exact {
		out.Exact = append(out.Exact, &runicornapiv1.ExactInteger{
			Index: uint32(e.Index), Decimal: Text(e.Text), //nolint:gosec // an index in a message
		})
	}
	return out
}

// texts makes texts marshal. The column may be shared, so it is not changed.
func texts(texts []string) []string {
	malformed := func(text string) bool { return !utf8.ValidString(text) }
	if !slices.ContainsFunc(texts, malformed) {
		return texts
	}
	texts = slices.Clone(texts)
	for i, text := range texts {
		texts[i] = Text(text)
	}
	return texts
}
