package main

import (
	"encoding/json"
	"errors"
	"iter"
	"math"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// errStop means that the limit of points is reached.
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

// event prints the points or the log reset of an event of a tail.
func (l *lines) event(e *client.Event) error {
	if reset := e.GetLogReset(); reset != nil {
		// Discard the points printed of this run; they are sent again.
		return l.to.Encode(map[string]string{"log_reset": reset.GetReason().String()})
	}
	return l.points(e.Points())
}

func (l *lines) points(points iter.Seq[client.Point]) error {
	for p := range points {
		if err := l.to.Encode(point{p.Metric, p.Step, valueOf(p)}); err != nil {
			return err
		}
		if l.count++; l.count == l.limit {
			return errStop
		}
	}
	return nil
}

// valueOf returns a value for JSON, which cannot represent NaN and ±Inf: they are texts.
func valueOf(p client.Point) any {
	switch {
	case p.Kind == runicornapiv1.MetricKind_METRIC_KIND_TEXT:
		return p.Text
	case p.Kind == runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
		return p.Value != 0
	case math.IsNaN(p.Value):
		return "NaN"
	case math.IsInf(p.Value, 1):
		return "Infinity"
	case math.IsInf(p.Value, -1):
		return "-Infinity"
	default:
		return p.Value
	}
}
