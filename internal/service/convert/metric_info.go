package convert

import (
	"math"
	"strconv"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// MetricInfo converts the statistics of one metric and kind.
func MetricInfo(s *eventlog.Stat, origin runsource.Origin) *runicornapiv1.MetricInfo {
	out := &runicornapiv1.MetricInfo{
		MetricName: Text(s.Name),
		Kind:       MetricKind(s.Kind),
		Count:      int64(s.Count),
		FirstStep:  s.FirstStep,
		LastStep:   s.LastStep,
		LastValue:  lastValue(&s.Last),
	}
	if s.LastTime != 0 {
		out.LastTime = UnixTime(s.LastTime)
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

// lastValue converts a cell; nil for a metric without points. An integer beyond 2^53
// stays an integer: a JSON number would lose digits.
func lastValue(c *eventlog.Cell) *runicornapiv1.Value {
	switch c.Kind {
	case eventlog.KindNumber:
		const first, limit = 1 << 53, 1 << 63
		switch size := math.Abs(c.Number); {
		case c.Exact != "":
			return integerValue(c.Exact)
		case size > first && size < limit: // every such double is an integer
			return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: int64(c.Number)}}
		}
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Number{Number: c.Number}}
	case eventlog.KindBoolean:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Boolean{Boolean: c.Number != 0}}
	case eventlog.KindText:
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Text{Text: Text(c.Text)}}
	}
	return nil
}

// integerValue converts the decimal digits of an integer of any size.
func integerValue(digits string) *runicornapiv1.Value {
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Integer{Integer: n}}
	}
	return &runicornapiv1.Value{Kind: &runicornapiv1.Value_Json{Json: Text(digits)}}
}
