package servicetest

import (
	"fmt"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// PointsAt returns lines of loss: steps, values, and times in seconds after start.
func PointsAt(start int, points ...[3]float64) []byte {
	var b strings.Builder
	for _, p := range points {
		fmt.Fprintf(&b, `{"ts": 1, "type": "metrics", "data": {"loss": %v, "global_step": %v, "time": %v}}`+"\n", p[1], p[0], float64(start)+p[2])
	}
	return []byte(b.String())
}

// MetricsLine is an event line as the SDK writes it; data is its members.
func MetricsLine(step int, data string) string {
	return fmt.Sprintf(`{"ts": %d, "type": "metrics", "data": {%s, "global_step": %d, "time": %d.5}}`+"\n", 1000+step, data, step, 1000+step)
}

// CurveLines returns n lines of loss, with a value for each step.
func CurveLines(n int, value func(step int) float64) string {
	var b strings.Builder
	for step := range n {
		b.WriteString(MetricsLine(step, fmt.Sprintf(`"loss": %v`, value(step))))
	}
	return b.String()
}

// SampleEvents has every kind of line that a log may have.
var SampleEvents = MetricsLine(1, `"loss": 1.5, "ok": true, "seed": 1152921504606846977`) +
	MetricsLine(2, `"loss": NaN, "stage": "warmup"`) +
	"{torn\n" +
	`{"type": "metrics", "data": {"loss": 3}}` + "\n" +
	MetricsLine(3, `"loss": -Infinity, "ok": false, "val/loss": 7`) +
	MetricsLine(1, `"loss": 2.5`) +
	MetricsLine(4, `"loss": 4, "stage": "main"`) +
	MetricsLine(5, `"loss": 5`)[:30]

// PointTexts formats the points of a batch: metric, step, value, time, position.
func PointTexts(b *runicornapiv1.MetricBatch) (texts []string) {
	for _, s := range b.GetSeries() {
		for i, step := range s.GetSteps() {
			var value any
			if len(s.GetTexts()) > 0 {
				value = s.GetTexts()[i]
			} else {
				value = s.GetValues()[i]
			}
			text := fmt.Sprintf("%s %d %v at %v", s.GetMetricName(), step, value, s.GetTimes()[i])
			if len(s.GetPositions()) > 0 {
				text += fmt.Sprintf(" in %d", s.GetPositions()[i])
			}
			texts = append(texts, text)
		}
	}
	return texts
}
