package main

import (
	"encoding/json"
	"errors"
	"math"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// errStop says that as many points were printed as were asked for.
var errStop = errors.New("enough points")

// lines prints one JSON object per line.
type lines struct {
	to    *json.Encoder
	limit int // 0 is none
	count int
}

type point struct {
	Metric string `json:"metric"`
	Step   int64  `json:"step"`
	Value  any    `json:"value"`
}

// event prints what a message of a tail says about points.
func (l *lines) event(resp *runicornapiv1.TailMetricsResponse) error {
	if reset := resp.GetLogReset(); reset != nil {
		// What was printed of this run no longer holds; it comes again.
		return l.to.Encode(map[string]string{"log_reset": reset.GetReason().String()})
	}
	return l.points(resp.GetBatch())
}

// points prints the points of a batch; a nil batch has none.
func (l *lines) points(batch *runicornapiv1.MetricBatch) error {
	for _, series := range batch.GetSeries() {
		for i, step := range series.GetSteps() {
			if err := l.to.Encode(point{series.GetMetricName(), step, valueOf(series, i)}); err != nil {
				return err
			}
			if l.count++; l.count == l.limit {
				return errStop
			}
		}
	}
	return nil
}

// valueOf is a value as JSON can say it, which has no word for NaN and ±Inf.
func valueOf(series *runicornapiv1.MetricSeries, i int) any {
	switch series.GetKind() {
	case runicornapiv1.MetricKind_METRIC_KIND_TEXT:
		return series.GetTexts()[i]
	case runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
		return series.GetValues()[i] != 0
	}
	switch v := series.GetValues()[i]; {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	default:
		return v
	}
}
