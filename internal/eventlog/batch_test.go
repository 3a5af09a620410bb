package eventlog

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func appendRow(b *Batch, position, step int64, cells ...Cell) {
	b.Append(&Row{Position: position, Step: step, Time: float64(position), HasTime: position != 3, Cells: cells})
}

func TestBatch_KeepsLogOrder(t *testing.T) {
	b := NewBatch(Selection{})
	appendRow(b, 1, 5, number("a", 1), text("s", "x"))
	appendRow(b, 2, 4, Cell{Name: "a", Kind: KindNumber, Number: 1 << 60, Exact: "1152921504606846977"}, Cell{Name: "s"})
	appendRow(b, 3, 5, boolean("a", 1), number("a", 3))
	want := []Series{
		{
			Name: "a", Kind: KindNumber, Steps: []int64{5, 4, 5}, Times: []float64{1, 2, 0}, Values: []float64{1, 1 << 60, 3},
			Exact: []Exact{{Index: 1, Text: "1152921504606846977"}}, Positions: []int64{1, 2, 3},
		},
		{Name: "s", Kind: KindText, Steps: []int64{5}, Times: []float64{1}, Texts: []string{"x"}, Positions: []int64{1}},
		{Name: "a", Kind: KindBoolean, Steps: []int64{5}, Times: []float64{0}, Values: []float64{1}, Positions: []int64{3}},
	}
	if diff := gocmp.Diff(want, b.Series(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Series (-want +got):\n%s", diff)
	}
	if b.Points() != 5 {
		t.Errorf("Points = %d, want 5", b.Points())
	}
	taken := b.Take()
	appendRow(b, -1, 9, number("a", 9))
	if diff := gocmp.Diff(want, taken, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("what was taken has changed (-want +got):\n%s", diff)
	}
	want = []Series{{Name: "a", Kind: KindNumber, Steps: []int64{9}, Times: []float64{-1}, Values: []float64{9}}}
	if diff := gocmp.Diff(want, b.Series(), cmpopts.EquateEmpty()); diff != "" || b.Points() != 1 {
		t.Errorf("after Take, %d points (-want +got):\n%s", b.Points(), diff)
	}
	b.Reset()
	if b.Points() != 0 || len(b.Series()) != 0 {
		t.Errorf("after Reset: %d points, %v", b.Points(), b.Series())
	}
}

func TestBatch_FiltersBySelection(t *testing.T) {
	two, four := int64(2), int64(4)
	for _, test := range []struct {
		name      string
		selection Selection
		want      string
	}{
		{"the zero selection is everything", Selection{}, "a[1 2 3 4 5] b/x[1 2 3 4 5] b/y[1 2 3 4 5]"},
		{"names are exact", Selection{Names: []string{"a", "b/"}}, "a[1 2 3 4 5]"},
		{"prefixes are beginnings", Selection{Prefixes: []string{"b/"}}, "b/x[1 2 3 4 5] b/y[1 2 3 4 5]"},
		{"either is enough", Selection{Names: []string{"a"}, Prefixes: []string{"b/y"}}, "a[1 2 3 4 5] b/y[1 2 3 4 5]"},
		{"the bounds are inclusive", Selection{Names: []string{"a"}, MinStep: &two, MaxStep: &four}, "a[2 3 4]"},
		{"crossed limits select nothing", Selection{MinStep: &four, MaxStep: &two}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			batch, table := NewBatch(test.selection), NewTable()
			for step := range int64(5) {
				row := &Row{Step: step + 1, Cells: []Cell{number("a", 1), number("b/x", 1), number("b/y", 1)}}
				batch.Append(row)
				table.Put(row)
			}
			table.Compact()
			for what, series := range map[string][]Series{"Batch": batch.Series(), "Table": table.Series(test.selection)} {
				var parts []string
				for _, s := range series {
					parts = append(parts, s.Name+fmt.Sprint(s.Steps))
				}
				if got := strings.Join(parts, " "); got != test.want {
					t.Errorf("%s has %q, want %q", what, got, test.want)
				}
			}
		})
	}
}

func TestBatch_ReusesMemory(t *testing.T) {
	file := benchFile(1000)
	batch := NewBatch(Selection{})
	var p Parser
	parse := func() {
		feed(t, &p, file, len(file), Handler{Row: func(row *Row) error {
			batch.Append(row)
			return nil
		}})
		batch.Reset()
	}
	parse()
	if allocs := testing.AllocsPerRun(10, parse); allocs > 10 {
		t.Errorf("%v allocations for 1000 lines, want a handful", allocs)
	}
}

func TestSeries_Keep(t *testing.T) {
	s := Series{
		Name: "a", Kind: KindNumber, Steps: []int64{1, 2, 3, 4}, Times: []float64{1, 2, 3, 4}, Values: []float64{1, 2, 3, 4},
		Exact: []Exact{{0, "x"}, {2, "y"}, {3, "z"}}, Positions: []int64{1, 2, 3, 4},
	}
	s.Keep([]int{1, 3})
	want := Series{
		Name: "a", Kind: KindNumber, Steps: []int64{2, 4}, Times: []float64{2, 4}, Values: []float64{2, 4},
		Exact: []Exact{{1, "z"}}, Positions: []int64{2, 4},
	}
	if diff := gocmp.Diff(want, s); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
