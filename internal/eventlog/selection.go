package eventlog

import (
	"slices"
	"strings"
)

// Selection selects metrics and steps. The zero Selection selects everything. It is
// read-only, and safe for concurrent use.
type Selection struct {
	// Names are selected metrics, Prefixes beginnings of selected names. A metric matching
	// either is selected; if both are empty, all are.
	Names    []string
	Prefixes []string
	// MinStep and MaxStep limit the steps, both inclusive; nil is no limit.
	MinStep *int64
	MaxStep *int64
}

// HasName reports whether the metric is selected. It scans the selection, so call it once
// per metric, not once per point.
func (s *Selection) HasName(name string) bool {
	return s.hasAllNames() || slices.Contains(s.Names, name) || s.hasPrefixOf(name)
}

func (s *Selection) hasAllNames() bool { return len(s.Names) == 0 && len(s.Prefixes) == 0 }

func (s *Selection) hasPrefixOf(name string) bool {
	return slices.ContainsFunc(s.Prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// HasStep reports whether the step is selected.
func (s *Selection) HasStep(step int64) bool {
	return (s.MinStep == nil || *s.MinStep <= step) && (s.MaxStep == nil || step <= *s.MaxStep)
}

// rows returns the selected range of ascending steps.
func (s *Selection) rows(steps []int64) (from, to int) {
	to = len(steps)
	if s.MinStep != nil {
		from, _ = slices.BinarySearch(steps, *s.MinStep)
	}
	if s.MaxStep != nil {
		var found bool
		if to, found = slices.BinarySearch(steps, *s.MaxStep); found {
			to++
		}
	}
	return from, max(from, to)
}

// Query selects points of one metric.
type Query struct {
	// MinStep and MaxStep limit the steps, both inclusive; nil is no limit.
	MinStep, MaxStep *int64
	// Limit selects the first points, Last the newest ones; 0 for both selects all.
	Limit, Last int
	// MaxPoints is the number of points after downsampling, which follows later; 0 for
	// none.
	MaxPoints int
}

// Sample is a selection of the points of one metric and kind.
type Sample struct {
	Series
	// Total is the number of all points, Finite that of the finite ones.
	Total, Finite int
}
