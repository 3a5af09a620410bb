package runs

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
)

// lateField is a field of the search index. It is missing if there is no record.
func lateField(kind filter.Kind, value func(*Entry) filter.Value) filter.Field[*Entry] {
	return filter.Field[*Entry]{Kind: kind, Sortable: true, Late: true, Value: func(e *Entry) filter.Value {
		if e.Record == nil {
			return filter.Value{}
		}
		return value(e)
	}}
}

func durationValue(e *Entry) filter.Value {
	d, ok := e.Record.Duration(e.now)
	if !ok {
		return filter.Value{}
	}
	return filter.DurationValue(d)
}

// documentValue reads a key of a summary or a configuration.
func documentValue(read func(*search.Record, ...string) filter.Value) func([]string, string) func(*Entry) filter.Value {
	return func(keys []string, _ string) func(*Entry) filter.Value {
		return func(e *Entry) filter.Value {
			if e.Record == nil {
				return filter.Value{}
			}
			return read(e.Record, keys...)
		}
	}
}

// metricValue reads a part of a metric. For a metric that was logged with several kinds
// of values, minimum and maximum are those of its numbers.
func metricValue(keys []string, part string) func(*Entry) filter.Value {
	name := strings.Join(keys, ".")
	var near atomic.Int32
	return func(e *Entry) filter.Value {
		if e.Record == nil {
			return filter.Value{}
		}
		kinds := e.Record.NamedNear(name, &near)
		if len(kinds) == 0 {
			return filter.Value{}
		}
		return partValue(kinds, part)
	}
}

// partValue reads a part of a metric, which has at least one kind.
func partValue(kinds []search.Metric, part string) filter.Value {
	switch part {
	case "min", "max":
		if kinds[0].Kind != eventlog.KindNumber {
			return filter.Value{}
		}
		p, ok := kinds[0].Min()
		if part == "max" {
			p, ok = kinds[0].Max()
		}
		if !ok {
			return filter.Value{}
		}
		return filter.NumberValue(p.Value)
	case "count":
		var n int64
		for i := range kinds {
			n += kinds[i].Count
		}
		return filter.IntValue(n)
	case "first_step":
		first := slices.MinFunc(kinds, func(a, b search.Metric) int { return cmp.Compare(a.FirstStep, b.FirstStep) })
		return filter.IntValue(first.FirstStep)
	}
	last := LastKind(kinds)
	if part == "last_step" {
		return filter.IntValue(last.Last.Step)
	}
	return LastValue(last)
}

// LastKind returns the kind of a metric with the value at the highest step.
func LastKind(kinds []search.Metric) *search.Metric {
	last := &kinds[0]
	for i := range kinds {
		if kinds[i].Last.Step > last.Last.Step {
			last = &kinds[i]
		}
	}
	return last
}

// LastValue returns the last value of a metric. Integers that a double would round are
// exact up to 64 bits.
func LastValue(m *search.Metric) filter.Value {
	switch {
	case m.Kind == eventlog.KindText:
		return filter.TextValue(m.LastText)
	case m.Kind == eventlog.KindBoolean:
		return filter.BoolValue(m.Last.Value != 0)
	case m.LastText != "":
		if n, err := strconv.ParseInt(m.LastText, 10, 64); err == nil {
			return filter.IntValue(n)
		}
	case math.Trunc(m.Last.Value) == m.Last.Value && math.Abs(m.Last.Value) < 1<<53:
		return filter.IntValue(int64(m.Last.Value))
	}
	return filter.NumberValue(m.Last.Value)
}
