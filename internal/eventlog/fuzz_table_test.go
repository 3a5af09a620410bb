package eventlog

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// naive is the Viewer's merged table: maps.
type naive map[int64]map[string]timedCell

type timedCell struct {
	Cell
	Time float64
}

func (n naive) put(row *Row) {
	if n[row.Step] == nil {
		n[row.Step] = map[string]timedCell{}
	}
	for _, c := range row.Cells {
		if c.Kind == KindNone {
			delete(n[row.Step], c.Name)
		} else {
			n[row.Step][c.Name] = timedCell{c, row.seconds()}
		}
	}
}

// tableCells returns the contents of a Table as a naive one.
func tableCells(t *Table) naive {
	cells := naive{}
	for _, s := range t.Series(Selection{}) {
		exact := map[int]string{}
		for _, e := range s.Exact {
			exact[e.Index] = e.Text
		}
		for i, step := range s.Steps {
			c := timedCell{Cell: Cell{Name: s.Name, Kind: s.Kind, Exact: exact[i]}, Time: s.Times[i]}
			if s.Kind == KindText {
				c.Text = s.Texts[i]
			} else {
				c.Number = s.Values[i]
			}
			if cells[step] == nil {
				cells[step] = map[string]timedCell{}
			}
			cells[step][s.Name] = c
		}
	}
	return cells
}

// fuzzRow makes a row of two or more bytes: the first is the step (or, from 200 on, a large
// increment, so that tables become long), the second the number of cells, followed by one
// byte per cell.
func fuzzRow(b []byte, step *int64, n int) (row *Row, rest []byte) {
	if b[0] < 200 {
		*step = int64(b[0]) - 20
	} else {
		*step += int64(b[0]) - 220
	}
	cells := min(int(b[1]%8), len(b)-2)
	row = &Row{Step: *step, Time: float64(n / 3), HasTime: n%7 != 0}
	for _, c := range b[2 : 2+cells] {
		cell := Cell{Name: fmt.Sprintf("m%d", c%11)}
		switch c / 11 % 8 {
		case 0, 1, 2:
			cell.Kind, cell.Number = KindNumber, float64(n)
		case 3:
			cell.Kind, cell.Number = KindNumber, math.NaN()
		case 4:
			cell.Kind, cell.Number = KindBoolean, float64(n%2)
		case 5:
			cell.Kind, cell.Text = KindText, fmt.Sprint("t", n%4)
		case 6:
			cell.Kind, cell.Exact = KindNumber, strconv.Itoa(1<<53+1+2*n%8)
			cell.Number = parseFloat(cell.Exact)
		}
		row.Cells = append(row.Cells, cell)
	}
	return row, b[2+cells:]
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{21, 2, 0, 1, 22, 2, 0, 1, 21, 1, 44, 20, 1, 88})
	f.Add([]byte("\xdd\x02\x00\x01\xdd\x03\x0c\x17\x22\xd0\x01\x2d\xdd\x02\x38\x43\xd8\x04\x00\x01\x02\x4e"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<12 {
			checkTable(t, b)
		}
	})
}

func TestTable_MatchesNaiveTableWhenLong(t *testing.T) {
	var b []byte
	for i := range 9_000 { // beyond the checks for sparse columns and full tails
		jump := byte(221)
		if i > 6_000 && i%3 == 0 {
			jump = 210 // back by ten: a late step
		}
		b = append(b, jump, 1, byte(i%2))
		if i%50 == 0 {
			b = append(b, 220, 3, 4, 5, byte(i))
		}
	}
	checkTable(t, b)
}

// checkTable compares a Table with a naive one.
func checkTable(t *testing.T, b []byte) {
	t.Helper()
	table, want, step := NewTable(), naive{}, int64(0)
	for n := 0; len(b) >= 2; n++ {
		var row *Row
		row, b = fuzzRow(b, &step, n)
		table.Put(row)
		want.put(row)
		if n%97 == 96 && n < 5_000 {
			table.Compact()
		}
	}
	table.Compact()
	rows := len(want)
	for step, cells := range want {
		if len(cells) == 0 {
			delete(want, step)
		}
	}
	got := tableCells(table)
	for step := range want {
		if diff := gocmp.Diff(want[step], got[step], cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("step %d (-naive +Table):\n%s", step, diff)
		}
	}
	if len(got) != len(want) || table.Rows() != rows {
		t.Errorf("%d steps have cells, and Rows = %d; want %d and %d", len(got), table.Rows(), len(want), rows)
	}
	checkReaders(t, table)
}

// checkReaders compares partial reads with complete ones.
func checkReaders(t *testing.T, table *Table) {
	t.Helper()
	const n = 3
	all, stats := table.Series(Selection{}), table.Stats(Selection{})
	first, last := table.First(Selection{}, n), table.Last(Selection{}, n)
	if len(stats) != len(all) || len(first) != len(all) || len(last) != len(all) {
		t.Fatalf("%d series, but %d stats, %d first, %d last", len(all), len(stats), len(first), len(last))
	}
	cells := 0
	for i, s := range all {
		cells += s.Len()
		kept := min(n, s.Len())
		if diff := gocmp.Diff(s.Steps[:kept], first[i].Steps); diff != "" {
			t.Errorf("First of %s (-want +got):\n%s", s.Name, diff)
		}
		if diff := gocmp.Diff(s.Times[s.Len()-kept:], last[i].Times); diff != "" {
			t.Errorf("Last of %s (-want +got):\n%s", s.Name, diff)
		}
		if st := stats[i]; st.Name != s.Name || st.Kind != s.Kind || st.Count != s.Len() || st.LastStep != s.Steps[s.Len()-1] || st.LastTime != s.Times[s.Len()-1] {
			t.Errorf("Stats of %s: %+v", s.Name, st)
		}
	}
	if table.Cells() != cells {
		t.Errorf("Cells = %d, want %d", table.Cells(), cells)
	}
}
