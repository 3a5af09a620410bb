package eventlog

import (
	"slices"
	"strings"
)

// Selection says which metrics and which steps are wanted. The zero Selection
// wants everything. It is read only, and safe for concurrent use.
type Selection struct {
	// Names are wanted metrics, and Prefixes beginnings of wanted names. A
	// metric that either of them names is wanted; if both are empty, all are.
	Names    []string
	Prefixes []string
	// MinStep and MaxStep bound the steps, both inclusive; nil is no bound.
	MinStep *int64
	MaxStep *int64
}

// HasName says whether the metric is wanted. It costs a walk over the selection
// and is asked once per metric, not once per point.
func (s *Selection) HasName(name string) bool {
	return s.hasAllNames() || slices.Contains(s.Names, name) || s.hasPrefixOf(name)
}

func (s *Selection) hasAllNames() bool { return len(s.Names) == 0 && len(s.Prefixes) == 0 }

func (s *Selection) hasPrefixOf(name string) bool {
	return slices.ContainsFunc(s.Prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// HasStep says whether the step is wanted.
func (s *Selection) HasStep(step int64) bool {
	return (s.MinStep == nil || *s.MinStep <= step) && (s.MaxStep == nil || step <= *s.MaxStep)
}

// rows is the range of ascending steps that is wanted.
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

// Query says which points of one metric are wanted.
type Query struct {
	// MinStep and MaxStep bound the steps, both inclusive; nil is no bound.
	MinStep, MaxStep *int64
	// Limit is how many of the first points are enough, and Last how many of the
	// newest ones; all are wanted where both are 0.
	Limit, Last int
	// MaxPoints is to how many they will be downsampled, not at all if 0.
	MaxPoints int
}

// Sample is points of a metric and kind that were taken of more.
type Sample struct {
	Series
	// Total is how many there are, and Finite how many of those are finite.
	Total, Finite int
}
