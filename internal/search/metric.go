package search

import (
	"math"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxText bounds the last text that a Metric keeps, in bytes. A longer one is cut.
const maxText = 1 << 10

// Point is one value of a metric.
type Point struct {
	Step int64
	// Time is unix seconds, 0 if unknown.
	Time  float64
	Value float64
}

// Metric sums up the values of one kind of one metric of a run, in the merged view:
// one value per step, the last one written.
//
// The last point is not part of the other sums, so that rewriting it, as a program
// does that logs one step twice, needs no second reading of the log. The methods add it.
type Metric struct {
	Name string
	// Count is the number of points, the last one included.
	Count     int64
	FirstStep int64
	// Last is the point at the highest step. Of a text its Value is 0.
	Last Point
	// LastText is the last value of a text, at most maxText bytes of it, and of a
	// number the digits of an integer that Last.Value rounds.
	LastText string

	min, max, finite Point // of the points before the last one: extremes, and the last finite one
	// nonFinite counts the points before the last one that are NaN or infinite. Of a
	// merged table it counts the cells that may have been.
	nonFinite int64
	Kind      eventlog.Kind
	hasRange  bool
}

// push adds a point at a step beyond the last one.
func (m *Metric) push(p Point, text string) {
	if m.Count == 0 {
		m.FirstStep = p.Step
	} else {
		m.fold()
	}
	m.Count++
	m.replaceLast(p, text)
}

// replaceLast rewrites the last point.
func (m *Metric) replaceLast(p Point, text string) { m.Last, m.LastText = p, text }

// fold takes the last point into the sums.
func (m *Metric) fold() {
	p := m.Last
	switch {
	case m.Kind == eventlog.KindText:
		return
	case !isFinite(p.Value):
		m.nonFinite++
		return
	case !m.hasRange:
		m.min, m.max, m.hasRange = p, p, true
	case p.Value < m.min.Value:
		m.min = p
	case p.Value > m.max.Value:
		m.max = p
	}
	m.finite = p
}

// withLast is the metric with its last point in the sums.
func (m *Metric) withLast() Metric {
	all := *m
	all.fold()
	return all
}

// Min is the least finite value, of equal ones that at the least step.
func (m *Metric) Min() (p Point, ok bool) {
	all := m.withLast()
	return all.min, all.hasRange
}

// Max is the greatest finite value, of equal ones that at the least step.
func (m *Metric) Max() (p Point, ok bool) {
	all := m.withLast()
	return all.max, all.hasRange
}

// LastFinite is the finite value at the highest step.
func (m *Metric) LastFinite() (p Point, ok bool) {
	all := m.withLast()
	return all.finite, all.hasRange
}

// NonFinite is the number of values that are NaN or infinite.
func (m *Metric) NonFinite() int64 { return m.withLast().nonFinite }

// Indeterminate is the number of cells of a merged table that may have been NaN,
// infinite or not logged at all.
func (m *Metric) Indeterminate() int64 { return m.nonFinite }

// isFinite says whether a value is neither NaN nor infinite.
func isFinite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// textOf is the text of a cell that a Metric keeps.
func textOf(c *eventlog.Cell) string {
	if c.Kind == eventlog.KindText {
		return c.Text
	}
	return c.Exact
}

// shorten copies at most maxText bytes, so that the line that they stood in can go.
func shorten(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxText)]), "")
}
