package eventlog

import "slices"

// Exact is the decimal text of an integer that a double cannot hold.
type Exact struct {
	// Index is the index of the value in its series.
	Index int
	// Text is the complete integer.
	Text string
}

// Series is the points of one metric and kind, as columns.
type Series struct {
	Name string
	// Kind is the kind of all values.
	Kind Kind
	// Steps and Times have one entry per point. A time is in Unix seconds, 0 if the event
	// file has none (the SDK always writes one).
	Steps []int64
	Times []float64
	// Values has one entry per point of a number or boolean series, with 0 for false and 1
	// for true. It is empty for texts.
	Values []float64
	// Texts has one entry per point of a text series, else it is empty.
	Texts []string
	// Exact has the integers that Values cannot hold, by ascending index.
	Exact []Exact
	// Positions has the byte offset of each point's line, for points of an event file in
	// log order. It is empty in a merged view.
	Positions []int64
}

// Len returns the number of points.
func (s *Series) Len() int { return len(s.Steps) }

// Keep keeps only the points at the indices, which must ascend. It works in place, so the
// caller must own the columns.
func (s *Series) Keep(indices []int) {
	s.Steps = keep(s.Steps, indices)
	s.Times = keep(s.Times, indices)
	s.Values = keep(s.Values, indices)
	s.Texts = keep(s.Texts, indices)
	s.Positions = keep(s.Positions, indices)
	kept := s.Exact[:0]
	for _, e := range s.Exact {
		if at, ok := slices.BinarySearch(indices, e.Index); ok {
			kept = append(kept, Exact{Index: at, Text: e.Text})
		}
	}
	s.Exact = kept
}

func keep[T any](column []T, indices []int) []T {
	if len(column) == 0 {
		return column
	}
	for to, from := range indices {
		column[to] = column[from]
	}
	return column[:len(indices)]
}

// grow reserves capacity for n numbers.
func (s *Series) grow(n int) {
	s.Steps = slices.Grow(s.Steps, n)
	s.Times = slices.Grow(s.Times, n)
	s.Values = slices.Grow(s.Values, n)
}

// truncate removes all points and keeps the memory.
func (s *Series) truncate() {
	clear(s.Texts) // so that the texts can be freed
	clear(s.Exact)
	s.Steps, s.Times, s.Values = s.Steps[:0], s.Times[:0], s.Values[:0]
	s.Texts, s.Exact, s.Positions = s.Texts[:0], s.Exact[:0], s.Positions[:0]
}

// reverse reverses the points.
func (s *Series) reverse() {
	slices.Reverse(s.Steps)
	slices.Reverse(s.Times)
	slices.Reverse(s.Values)
	slices.Reverse(s.Texts)
	slices.Reverse(s.Exact)
	for i := range s.Exact {
		s.Exact[i].Index = s.Len() - 1 - s.Exact[i].Index
	}
}
