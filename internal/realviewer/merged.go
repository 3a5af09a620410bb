package realviewer

import (
	"cmp"
	"maps"
	"slices"
)

// MergedRow is a row of the Viewer's table: all lines of one step merged, the last one
// wins.
type MergedRow struct {
	Step int64
	// Cells are the last values of each metric at this step.
	Cells map[string]MergedCell
}

// MergedCell is the last value of a metric at a step, with the time of the line
// that wrote it. (The Viewer's table has one time for the whole row.)
type MergedCell struct {
	Value Value
	Time  float64
}

// Names returns the names of all metrics, sorted.
func (l *Log) Names() []string {
	names := make(map[string]bool)
	for _, line := range l.Lines {
		for name := range line.Cells {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Points returns the values of one metric and kind in log order.
func (l *Log) Points(name string, kind ValueKind) []LoggedPoint {
	var points []LoggedPoint
	for _, line := range l.Lines {
		if value, ok := line.Cells[name]; ok && value.Kind == kind {
			points = append(points, LoggedPoint{Offset: line.Offset, Step: line.Step, Time: line.Time, Value: value})
		}
	}
	return points
}

// Merged returns the merged table of the lines: one row per step, sorted by step, the last
// write of each metric wins.
func (l *Log) Merged() []MergedRow {
	rows := make(map[int64]MergedRow)
	for _, line := range l.Lines {
		row, ok := rows[line.Step]
		if !ok {
			row = MergedRow{Step: line.Step, Cells: make(map[string]MergedCell)}
			rows[line.Step] = row
		}
		for name, value := range line.Cells {
			row.Cells[name] = MergedCell{Value: value, Time: line.Time}
		}
	}
	table := slices.Collect(maps.Values(rows))
	slices.SortFunc(table, func(a, b MergedRow) int { return cmp.Compare(a.Step, b.Step) })
	return table
}
