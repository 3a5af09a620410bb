package search

import (
	"math"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxText bounds Metric.LastText, in bytes. Longer texts are cut.
const maxText = 1 << 10

// Point is one value of a metric.
type Point struct {
	Step int64
	// Time is in Unix seconds; 0 if unknown.
	Time  float64
	Value float64
}

// Metric aggregates the values of one kind of one metric of a run, in the merged view: one
// value per step, the last one written.
//
// The unexported aggregates exclude the last point, so that overwriting it, as a program does
// that logs one step twice, needs no second read of the log. The methods include it.
type Metric struct {
	Name string
	// Count is the number of points, including the last one.
	Count     int64
	FirstStep int64
	// Last is the point at the highest step. Its Value is 0 for a text.
	Last Point
	// LastText is the last value of a text, up to maxText bytes. For a number, it has the
	// digits of an integer that Last.Value rounds.
	LastText string

	min, max, finite Point // extremes and last finite point, before the last point
	// nonFinite is the number of points before the last one that are NaN or infinite. In a
	// merged table, it is the number of cells that may have been.
	nonFinite int64
	Kind      eventlog.Kind
	hasRange  bool
}

// push adds a point at a step higher than the last one.
func (m *Metric) push(p Point, text string) {
	if m.Count == 0 {
		m.FirstStep = p.Step
	} else {
		m.fold()
	}
	m.Count++
	m.replaceLast(p, text)
}

func (m *Metric) replaceLast(p Point, text string) { m.Last, m.LastText = p, text }

// fold adds the last point to the other aggregates.
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

// withLast returns a copy whose aggregates include the last point.
func (m *Metric) withLast() Metric {
	all := *m
	all.fold()
	return all
}

// Min is the minimum finite value; of several equal ones, that at the lowest step.
func (m *Metric) Min() (p Point, ok bool) {
	all := m.withLast()
	return all.min, all.hasRange
}

// Max is the maximum finite value; of several equal ones, that at the lowest step.
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

// Indeterminate is the number of cells of a merged table that were either NaN, infinite or
// not logged.
func (m *Metric) Indeterminate() int64 { return m.nonFinite }

func isFinite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// textOf is the value of Metric.LastText for a cell.
func textOf(c *eventlog.Cell) string {
	if c.Kind == eventlog.KindText {
		return c.Text
	}
	return c.Exact
}

// shorten copies at most maxText bytes, so that the line of the text can be freed.
func shorten(s string) string {
	return strings.ToValidUTF8(strings.Clone(s[:min(len(s), maxText)]), "")
}
