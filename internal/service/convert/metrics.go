package convert

import (
	"slices"
	"unicode/utf8"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// metricKinds maps the kinds of cells. KindNone is a metric that has only nulls, on
// Viewers that write null for numbers that are not finite: it is a metric of numbers.
var metricKinds = map[eventlog.Kind]runicornapiv1.MetricKind{
	eventlog.KindNone:    runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindNumber:  runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
	eventlog.KindBoolean: runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN,
	eventlog.KindText:    runicornapiv1.MetricKind_METRIC_KIND_TEXT,
}

// fidelities maps the origin of a run to its fidelity.
var fidelities = map[runsource.Origin]runicornapiv1.Fidelity{
	runsource.FromEventLog:    runicornapiv1.Fidelity_FIDELITY_EVENT_LOG,
	runsource.FromMergedTable: runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE,
}

// Fidelity returns the fidelity of data of an origin.
func Fidelity(origin runsource.Origin) runicornapiv1.Fidelity { return fidelities[origin] }

// MetricKind converts the kind of a cell.
func MetricKind(kind eventlog.Kind) runicornapiv1.MetricKind { return metricKinds[kind] }

// Selector is a request that selects metrics by name and prefix.
type Selector interface {
	GetMetricNames() []string
	GetMetricPrefixes() []string
}

// Selection converts the selected metrics, without a range of steps.
func Selection(req Selector) eventlog.Selection {
	return eventlog.Selection{Names: req.GetMetricNames(), Prefixes: req.GetMetricPrefixes()}
}

// Series converts a series. The message shares the columns of the series.
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

// texts replaces invalid UTF-8. The column may be shared, so it is copied if it has to
// change.
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
