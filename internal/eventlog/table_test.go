package eventlog

import (
	"math"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// put puts a row with a time.
func put(t *Table, step int64, time float64, cells ...Cell) {
	t.Put(&Row{Position: -1, Step: step, Time: time, HasTime: true, Cells: cells})
}

func text(name, v string) Cell { return Cell{Name: name, Kind: KindText, Text: v} }

func boolean(name string, v float64) Cell { return Cell{Name: name, Kind: KindBoolean, Number: v} }

func TestTable_Series(t *testing.T) {
	huge := Cell{Name: "a", Kind: KindNumber, Number: 1 << 60, Exact: "1152921504606846977"}
	for _, test := range []struct {
		name string
		fill func(*Table)
		want []Series
	}{
		{"late steps are sorted, and the last write wins", func(t *Table) {
			for i, step := range []int64{1, 5, 9, 3, 7, 3, 11, 5} {
				put(t, step, float64(i), number("a", float64(i)))
			}
		}, []Series{{
			Name: "a", Kind: KindNumber,
			Steps: []int64{1, 3, 5, 7, 9, 11}, Times: []float64{0, 5, 7, 4, 2, 6}, Values: []float64{0, 5, 7, 4, 2, 6},
		}}},
		{"each value has the time of the line that wrote it", func(t *Table) {
			put(t, 1, 10, number("a", 1), number("b", 1))
			put(t, 2, 20, number("a", 2), number("b", 2))
			put(t, 1, 30, number("b", 3))
			put(t, 2, 40, number("a", 4), number("b", 4))
		}, []Series{
			{Name: "a", Kind: KindNumber, Steps: []int64{1, 2}, Times: []float64{10, 40}, Values: []float64{1, 4}},
			{Name: "b", Kind: KindNumber, Steps: []int64{1, 2}, Times: []float64{30, 40}, Values: []float64{3, 4}},
		}},
		{"a metric of mixed kinds is several series, and a step is in one of them", func(t *Table) {
			put(t, 1, 1, number("a", 1))
			put(t, 2, 2, text("a", "x"))
			put(t, 3, 3, boolean("a", 1))
			put(t, 4, 4, huge)
			put(t, 1, 5, text("a", "y"))
			put(t, 2, 6, number("a", math.NaN()))
		}, []Series{
			{
				Name: "a", Kind: KindNumber, Steps: []int64{2, 4}, Times: []float64{6, 4}, Values: []float64{math.NaN(), 1 << 60},
				Exact: []Exact{{Index: 1, Text: huge.Exact}},
			},
			{Name: "a", Kind: KindBoolean, Steps: []int64{3}, Times: []float64{3}, Values: []float64{1}},
			{Name: "a", Kind: KindText, Steps: []int64{1}, Times: []float64{5}, Texts: []string{"y"}},
		}},
		{"null takes a value back, at a late step too", func(t *Table) {
			put(t, 1, 1, number("a", 1), number("b", 1))
			put(t, 9, 2, number("a", 9), number("b", 9))
			put(t, 5, 3, number("a", 5), number("b", 5))
			put(t, 4, 3, number("a", 4))
			put(t, 5, 4, Cell{Name: "a"}, Cell{Name: "unknown"})
			put(t, 1, 5, Cell{Name: "a"})
		}, []Series{
			{Name: "a", Kind: KindNumber, Steps: []int64{4, 9}, Times: []float64{3, 2}, Values: []float64{4, 9}},
			{Name: "b", Kind: KindNumber, Steps: []int64{1, 5, 9}, Times: []float64{1, 3, 2}, Values: []float64{1, 5, 9}},
		}},
		{"of equal names in a row the last counts", func(t *Table) {
			put(t, 1, 1, number("a", 1), text("a", "x"))
		}, []Series{{Name: "a", Kind: KindText, Steps: []int64{1}, Times: []float64{1}, Texts: []string{"x"}}}},
		{"a row without a time has the time 0", func(t *Table) {
			t.Put(&Row{Step: 1, Time: 7, Cells: []Cell{number("a", 1)}})
		}, []Series{{Name: "a", Kind: KindNumber, Steps: []int64{1}, Times: []float64{0}, Values: []float64{1}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := NewTable()
			test.fill(table)
			table.Compact()
			if diff := gocmp.Diff(test.want, table.Series(Selection{}), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestTable_FirstAndLast(t *testing.T) {
	table := NewTable()
	for step := range int64(200) {
		put(table, step, 1, number("all", float64(step)))
		if step%3 == 0 {
			put(table, step, 1, text("some", "x"), Cell{Name: "some2", Kind: KindNumber, Number: 1, Exact: "9007199254740993"})
		}
	}
	table.Compact()
	low, high := int64(10), int64(150)
	selection := Selection{Names: []string{"all", "some2"}, MinStep: &low, MaxStep: &high}
	first, last := table.First(selection, 2), table.Last(selection, 2)
	steps := func(series []Series) (steps [][]int64) {
		for _, s := range series {
			steps = append(steps, s.Steps)
		}
		return steps
	}
	if diff := gocmp.Diff([][]int64{{10, 11}, {12, 15}}, steps(first)); diff != "" {
		t.Errorf("First (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([][]int64{{149, 150}, {147, 150}}, steps(last)); diff != "" {
		t.Errorf("Last (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]Exact{{0, "9007199254740993"}, {1, "9007199254740993"}}, last[1].Exact); diff != "" {
		t.Errorf("Last's exact texts (-want +got):\n%s", diff)
	}
	if got := table.First(Selection{}, 0); len(got) != 0 {
		t.Errorf("First of no points = %v", got)
	}
}

func TestTable_Stats(t *testing.T) {
	table := NewTable()
	put(table, 5, 50, number("a", 2), text("s", "x"))
	put(table, 6, 60, number("a", math.Inf(1)), text("s", "y"))
	put(table, 7, 70, number("a", -3), boolean("s", 1))
	put(table, 4, 40, number("a", math.NaN()))
	table.AddIndeterminate("a", 2)
	table.AddIndeterminate("lost", 3)
	table.Compact()
	want := []Stat{
		{
			Name: "a", Kind: KindNumber, Count: 4, FirstStep: 4, LastStep: 7, Last: number("a", -3), LastTime: 70,
			Min: -3, Max: 2, HasRange: true, NonFinite: 2, Indeterminate: 2,
		},
		{Name: "lost", Indeterminate: 3},
		{Name: "s", Kind: KindBoolean, Count: 1, FirstStep: 7, LastStep: 7, Last: boolean("s", 1), LastTime: 70, Min: 1, Max: 1, HasRange: true},
		{Name: "s", Kind: KindText, Count: 2, FirstStep: 5, LastStep: 6, Last: text("s", "y"), LastTime: 60},
	}
	if diff := gocmp.Diff(want, table.Stats(Selection{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"a", "lost", "s"}, table.Names(Selection{})); diff != "" {
		t.Errorf("Names (-want +got):\n%s", diff)
	}
	if table.Rows() != 4 || table.Cells() != 7 || table.Indeterminate("lost") != 3 {
		t.Errorf("Rows, Cells, Indeterminate = %d, %d, %d; want 4, 7, 3", table.Rows(), table.Cells(), table.Indeterminate("lost"))
	}
}

func TestTable_SparseMetricsUseLittleMemory(t *testing.T) {
	table := NewTable()
	const rows = 100_000
	for step := range int64(rows) {
		cells := []Cell{number("dense", 1)}
		if step%100 == 0 {
			cells = append(cells, number("val/loss", 1), number("val/acc", 1), boolean("other", float64(step/100%2)))
		}
		put(table, step, float64(step), cells...)
	}
	table.Compact()
	if len(table.groups) != 2 || table.Rows() != rows {
		t.Errorf("%d groups and %d rows, want 2 and %d", len(table.groups), table.Rows(), rows)
	}
	if got, limit := table.Bytes(), 28*rows; got > limit {
		t.Errorf("Bytes = %d, want at most %d", got, limit)
	}
	for _, s := range table.Stats(Selection{Prefixes: []string{"val/", "other"}}) {
		if s.Count != rows/100 || s.LastStep != rows-100 || s.LastTime != rows-100 {
			t.Errorf("%s: count %d, last step %d, last time %v", s.Name, s.Count, s.LastStep, s.LastTime)
		}
	}
}

func TestTable_CountsRowsWithoutCells(t *testing.T) {
	table := NewTable()
	put(table, 1, 1)
	put(table, 2, 2, number("a", 1))
	put(table, 2, 3)
	put(table, 3, 3, Cell{Name: "null"})
	put(table, 0, 3)
	table.Compact()
	if table.Rows() != 4 {
		t.Errorf("Rows = %d, want 4", table.Rows())
	}
}

// The size of the log is known: the table allocates once and releases unused capacity.
func TestTable_AllocatesForExpectedRows(t *testing.T) {
	const rows, line = 200_000, 100
	for name, test := range map[string]struct {
		whole int64
		most  int // bytes of the table at the end, per row
	}{
		"expected size is exact": {rows * line, 35},
		"as nobody knows":        {-1, 40},
		"far longer than its":    {50 * rows * line, 50},
		"far shorter":            {rows * line / 50, 40},
	} {
		t.Run(name, func(t *testing.T) {
			table := NewTable()
			for step := range int64(rows) {
				put(table, step, float64(step), number("a", float64(step)), number("b", 1))
				if step%1000 == 0 {
					table.ExpectSize(step*line, test.whole)
				}
			}
			table.Compact()
			for _, s := range table.Series(Selection{}) {
				for i, step := range s.Steps {
					if s.Len() != rows || step != int64(i) || s.Times[i] != float64(i) || s.Name == "a" && s.Values[i] != float64(i) {
						t.Fatalf("%s has %d points; point %d is %d %v %v", s.Name, s.Len(), i, step, s.Times[i], s.Values[i])
					}
				}
			}
			if got := table.Bytes() / rows; got > test.most {
				t.Errorf("%d bytes per row, at most %d wanted", got, test.most)
			}
		})
	}
}
