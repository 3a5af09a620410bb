package export

import (
	"iter"
	"math"
	"slices"
	"sort"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// windowRows is about how many steps of a table are read together: enough for a full
// batch of Arrow, and small compared with the table.
const windowRows = 8192

// window holds the selected points of a range of steps. It may share the table's columns.
type window struct {
	steps  []int64           // the steps at which any series has a point, ascending
	series []eventlog.Series // by name and kind
}

// windows yields the table in ranges of about rows ascending steps, so that only one
// range is in memory. The range is widened if steps are far apart, and cut if a series
// has more points than expected.
func windows(t *eventlog.Table, sel eventlog.Selection, rows int) iter.Seq[*window] {
	return func(yield func(*window) bool) {
		low, last, ok := bounds(t, sel)
		for span := uint64(rows); ok; { //nolint:gosec // rows are positive
			high := last
			if uint64(last)-uint64(low) >= span { //nolint:gosec // the distance of two int64 fits, whatever their signs
				high = low + int64(span-1) //nolint:gosec // below last
			}
			w := readWindow(t, sel, low, &high, rows)
			if len(w.steps) > 0 && !yield(w) || high == last {
				return
			}
			if len(w.steps) < rows/2 {
				span = min(2*span, math.MaxInt64)
			}
			low = high + 1
		}
	}
}

// bounds returns the first and the last step of any selected point.
func bounds(t *eventlog.Table, sel eventlog.Selection) (first, last int64, ok bool) {
	first, last = math.MaxInt64, math.MinInt64
	for _, s := range t.First(sel, 1) {
		first, ok = min(first, s.Steps[0]), true
	}
	for _, s := range t.Last(sel, 1) {
		last = max(last, s.Steps[0])
	}
	return first, last, ok
}

// readWindow reads the points from low to high. If there are too many, it lowers high.
func readWindow(t *eventlog.Table, sel eventlog.Selection, low int64, high *int64, rows int) *window {
	to := *high
	sel.MinStep, sel.MaxStep = &low, &to
	w := &window{series: t.Window(sel, rows)}
	for i := range w.series {
		if s := &w.series[i]; s.Len() == rows {
			*high = min(*high, s.Steps[rows-1])
		}
	}
	kept := w.series[:0]
	for _, s := range w.series {
		if truncateSeries(&s, *high); s.Len() > 0 {
			kept = append(kept, s)
			w.steps = union(w.steps, s.Steps)
		}
	}
	w.series = kept
	return w
}

// truncateSeries removes the points after a step.
func truncateSeries(s *eventlog.Series, high int64) {
	n := sort.Search(s.Len(), func(i int) bool { return s.Steps[i] > high })
	if n == s.Len() {
		return
	}
	s.Steps, s.Times = s.Steps[:n], s.Times[:n]
	if s.Kind == eventlog.KindText {
		s.Texts = s.Texts[:n]
	} else {
		s.Values = s.Values[:n]
	}
	exact := sort.Search(len(s.Exact), func(i int) bool { return s.Exact[i].Index >= n })
	s.Exact = s.Exact[:exact]
}

// union merges ascending steps. Metrics are mostly logged together, so usually the second
// series adds no step.
func union(a, b []int64) []int64 {
	switch {
	case len(a) == 0:
		return b
	case slices.Equal(a, b):
		return a
	}
	out := make([]int64, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] < b[0]:
			out, a = append(out, a[0]), a[1:]
		case a[0] > b[0]:
			out, b = append(out, b[0]), b[1:]
		default:
			out, a, b = append(out, a[0]), a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// cursor iterates over a series along the steps of its window.
type cursor struct {
	s         *eventlog.Series
	at, exact int
}

// has reports whether the series has a point at the step. Steps must be passed in
// ascending order.
func (c *cursor) has(step int64) bool { return c.at < len(c.s.Steps) && c.s.Steps[c.at] == step }

// digits returns the digits of an integer that a double rounds, else an empty text.
func (c *cursor) digits() string {
	if c.exact < len(c.s.Exact) && c.s.Exact[c.exact].Index == c.at {
		return c.s.Exact[c.exact].Text
	}
	return ""
}

// cell returns the point at the cursor.
func (c *cursor) cell() eventlog.Cell {
	cell := eventlog.Cell{Name: c.s.Name, Kind: c.s.Kind}
	if c.s.Kind == eventlog.KindText {
		cell.Text = c.s.Texts[c.at]
	} else {
		cell.Number, cell.Exact = c.s.Values[c.at], c.digits()
	}
	return cell
}

// next continues to the next point.
func (c *cursor) next() {
	if c.exact < len(c.s.Exact) && c.s.Exact[c.exact].Index == c.at {
		c.exact++
	}
	c.at++
}

// cursors returns a cursor for every series of the window.
func (w *window) cursors() []cursor {
	out := make([]cursor, len(w.series))
	for i := range w.series {
		out[i].s = &w.series[i]
	}
	return out
}
