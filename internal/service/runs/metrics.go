package runs

import (
	"slices"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
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
	s := &eventlog.Stat{
		Name: m.Name, Kind: m.Kind, Count: int(m.Count), FirstStep: m.FirstStep,
		LastStep: m.Last.Step, LastTime: m.Last.Time, Last: eventlog.Cell{Kind: m.Kind, Number: m.Last.Value},
		NonFinite: int(m.NonFinite()), Indeterminate: int(m.Indeterminate()),
	}
	if m.Kind == eventlog.KindText {
		s.Last.Text = m.LastText
	} else {
		s.Last.Exact = m.LastText
	}
	if low, ok := m.Min(); ok {
		high, _ := m.Max()
		s.Min, s.Max, s.HasRange = low.Value, high.Value, true
	}
	return convert.MetricInfo(s, origin)
}
