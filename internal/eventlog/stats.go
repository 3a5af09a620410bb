package eventlog

import (
	"cmp"
	"slices"
)

// Stat summarizes one metric and kind.
type Stat struct {
	// Name is the metric's name, and Kind that of its values; KindNone is a metric with
	// indeterminate cells only.
	Name string
	Kind Kind
	// Count is the number of points.
	Count int
	// FirstStep and LastStep are the lowest and the highest step.
	FirstStep int64
	LastStep  int64
	// Last is the cell at LastStep, and LastTime its time in Unix seconds.
	Last     Cell
	LastTime float64
	// Min and Max are over the finite values of a number or boolean series, if HasRange.
	Min      float64
	Max      float64
	HasRange bool
	// NonFinite is the number of NaN and infinite values.
	NonFinite int
	// Indeterminate is the number of cells of the metric, of any kind, that may have been
	// NaN or infinite; see AddIndeterminate.
	Indeterminate int
}

// Stats summarizes the selected points, sorted by name and kind. It reads every selected
// cell and copies none.
func (t *Table) Stats(selection Selection) []Stat {
	var stats []Stat
	for c := range t.selected(selection) {
		stats = append(stats, t.columnStats(c, selection)...)
	}
	for _, name := range t.onlyIndeterminate(selection) {
		stats = append(stats, Stat{Name: name, Indeterminate: t.indeterminate[name]})
	}
	slices.SortFunc(stats, func(a, b Stat) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
	})
	return stats
}

// columnStats summarizes one column by kind.
func (t *Table) columnStats(c *column, selection Selection) []Stat {
	from, to := c.bounds(selection)
	var byKind [KindText + 1]tally
	if c.isPlain(from, to) {
		byKind[KindNumber].addAll(c.values[from:to], from)
	} else {
		for row := range c.rows(from, to) {
			kind := c.kind(row)
			value := c.values[row]
			if kind == kindExact {
				value = parseFloat(t.texts.text(value))
			}
			byKind[publicKind(kind)].add(row, value)
		}
	}
	var stats []Stat
	for kind, tally := range byKind {
		if tally.Count > 0 {
			stats = append(stats, t.stat(c, Kind(kind), tally))
		}
	}
	return stats
}

// stat completes the tally of a column and kind.
func (t *Table) stat(c *column, kind Kind, tally tally) Stat {
	s := tally.Stat
	s.Name, s.Kind = c.name, kind
	s.FirstStep, s.LastStep = c.group.steps[tally.first], c.group.steps[tally.last]
	s.Last, s.LastTime = t.cell(c, tally.last), c.time(tally.last)
	s.Indeterminate = t.indeterminate[c.name]
	if kind == KindText { // its values are indices
		s.Min, s.Max, s.HasRange = 0, 0, false
	}
	return s
}

// tally is an unfinished Stat with its first and last row.
type tally struct {
	Stat
	first, last int
}

func (t *tally) add(row int, value float64) {
	if t.Count == 0 {
		t.first = row
	}
	t.last = row
	t.Count++
	t.addValue(value)
}

// addAll adds the values of adjacent rows from first on.
func (t *tally) addAll(values []float64, first int) {
	t.first, t.last, t.Count = first, first+len(values)-1, len(values)
	for _, value := range values {
		t.addValue(value)
	}
}

// addValue adds a value to the range.
func (t *tally) addValue(value float64) {
	switch {
	case value-value != 0: // NaN or infinite
		t.NonFinite++
	case !t.HasRange:
		t.Min, t.Max, t.HasRange = value, value, true
	case value < t.Min:
		t.Min = value
	case value > t.Max:
		t.Max = value
	}
}

// cell returns a stored cell as it was put.
func (t *Table) cell(c *column, row int) Cell {
	cell := Cell{Name: c.name, Kind: publicKind(c.kind(row))}
	switch value := c.values[row]; c.kind(row) {
	case KindText:
		cell.Text = t.texts.text(value)
	case kindExact:
		cell.Exact = t.texts.text(value)
		cell.Number = parseFloat(cell.Exact)
	default:
		cell.Number = value
	}
	return cell
}
