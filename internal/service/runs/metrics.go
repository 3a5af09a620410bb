package runs

import (
	"math"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// allMetrics is the metric name that selects all metrics.
const allMetrics = "*"

// AddMetrics adds to experiments the requested metrics of their entries, as far as they
// fit into one message. The caller must cut the list after the last experiment that has
// them.
func AddMetrics(experiments []*runicornapiv1.Experiment, entries []*Entry, names []string) {
	if len(names) == 0 {
		return
	}
	all, room := slices.Contains(names, allMetrics), answer.MaxSize
	for i, e := range entries {
		if e.Record == nil {
			continue
		}
		if room < 0 {
			return
		}
		for j := range e.Record.Metrics {
			if m := &e.Record.Metrics[j]; all || slices.Contains(names, m.Name) {
				experiments[i].Metrics = append(experiments[i].Metrics, metricInfo(m, e.Record.Origin))
			}
		}
		fit(experiments[i])
		room -= proto.Size(experiments[i])
	}
}

// metricInfo converts the search index's record of a metric.
func metricInfo(m *search.Metric, origin runsource.Origin) *runicornapiv1.MetricInfo {
	info := &runicornapiv1.MetricInfo{
		MetricName: convert.Text(m.Name), Kind: convert.MetricKind(m.Kind), Count: m.Count,
		FirstStep: m.FirstStep, LastStep: m.Last.Step, LastValue: convert.Value(lastOf(m)), LastTime: convert.UnixTime(m.Last.Time),
	}
	if m.Last.Time == 0 {
		info.LastTime = nil
	}
	if m.Kind == eventlog.KindNumber {
		if p, ok := m.Min(); ok {
			info.MinValue = &p.Value
		}
		if p, ok := m.Max(); ok {
			info.MaxValue = &p.Value
		}
	}
	switch {
	case origin == runsource.FromMergedTable:
		info.IndeterminateCellCount = new(m.Indeterminate())
	case m.Kind == eventlog.KindNumber:
		info.NonFiniteCount = new(m.NonFinite())
	}
	return info
}

// lastOf returns the last value of a metric in the form of ListMetrics.
func lastOf(m *search.Metric) restclient.Value {
	switch m.Kind {
	case eventlog.KindText:
		return restclient.Value{Kind: restclient.ValueText, Text: m.LastText}
	case eventlog.KindBoolean:
		return restclient.Value{Kind: restclient.ValueBool, Bool: m.Last.Value != 0}
	}
	if m.LastText == "" {
		return restclient.Value{Kind: restclient.ValueNumber, Number: m.Last.Value}
	}
	if n, err := strconv.ParseInt(m.LastText, 10, 64); err == nil {
		return restclient.Value{Kind: restclient.ValueInteger, Integer: n}
	}
	return restclient.Value{Kind: restclient.ValueDecimal, Text: m.LastText, Number: math.NaN()}
}
