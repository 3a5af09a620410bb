package eventlog

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testdata/<version> has event files and the answers of that version's Viewer
// (metrics_step). The SDK wrote sdk_*: NaN, infinities, strings, booleans, an integer
// beyond 2^53, a null that erases, images; back-filled and rewritten steps, sparse metrics,
// stages. hand_edges has lines that no SDK writes, which the Viewer parses or skips by
// Python's rules.
// writes, which the Viewer reads, or skips, after Python's rules.

// viewerTable is the Viewer's answer.
type viewerTable struct {
	Rows  []map[string]any `json:"rows"`
	Total int              `json:"total"`
}

func TestTable_MatchesTheViewer(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.events.jsonl")
	if err != nil || len(files) != 9 {
		t.Fatalf("%d event files in testdata, want 9 (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(file, ".events.jsonl"), func(t *testing.T) {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := readViewerTable(t, strings.TrimSuffix(file, ".events.jsonl")+".metrics_step.json")
			table := NewTable()
			var p Parser
			feed(t, &p, content, 777, Handler{Row: func(row *Row) error { table.Put(row); return nil }})
			table.Compact()
			compareTables(t, want, table)
		})
	}
}

func readViewerTable(t *testing.T, file string) viewerTable {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var table viewerTable
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&table); err != nil {
		t.Fatal(err)
	}
	return table
}

// point is a step and name in the table.
type point struct {
	step int64
	name string
}

// notInTable are the metrics that the Viewer's table lacks.
var notInTable = []string{"epoch", "step"}

// compareTables compares all cells. A null of the Viewer is absent or non-finite here;
// steps beyond int64 are only in the Viewer's table, and notInTable only in ours.
func compareTables(t *testing.T, want viewerTable, table *Table) {
	t.Helper()
	got := cellsOf(table)
	rows, times := 0, timesOf(table)
	for _, row := range want.Rows {
		number, ok := row["global_step"].(json.Number)
		step, err := number.Int64()
		if !ok || err != nil {
			continue
		}
		rows++
		for name, value := range row {
			at := point{step, name}
			switch name {
			case "global_step":
			case "time":
				if !hasTime(times[step], value) {
					t.Errorf("step %d: no value has the time %v, but some of %v", step, value, times[step])
				}
			default:
				if cell, ok := got[at]; !isSameCell(value, cell, ok) {
					t.Errorf("step %d, %s: got %+v, want %v", step, name, cell, value)
				}
				delete(got, at)
			}
		}
	}
	for at := range maps.Keys(got) {
		if slices.Contains(notInTable, at.name) {
			continue
		}
		t.Errorf("step %d, %s: the Viewer has no such cell", at.step, at.name)
	}
	if table.Rows() != rows {
		t.Errorf("Rows = %d, want %d of the Viewer's %d", table.Rows(), rows, want.Total)
	}
}

func isSameCell(want any, got Cell, ok bool) bool {
	switch want := want.(type) {
	case nil:
		return !ok || got.Kind == KindNumber && got.Number-got.Number != 0
	case string:
		return ok && got.Kind == KindText && got.Text == want
	case bool:
		return ok && got.Kind == KindBoolean && (got.Number == 1) == want
	case json.Number:
		number, isNumber := new(big.Rat).SetString(want.String())
		exact := new(big.Rat).SetFloat64(got.Number)
		if got.Exact != "" {
			exact, _ = new(big.Rat).SetString(got.Exact)
		}
		if f, err := want.Float64(); strings.ContainsAny(want.String(), ".eE") {
			return ok && got.Kind == KindNumber && err == nil && f == got.Number
		}
		return ok && got.Kind == KindNumber && isNumber && number.Cmp(exact) == 0
	}
	return false
}

// cellsOf returns all cells of the table.
func cellsOf(table *Table) map[point]Cell {
	cells := map[point]Cell{}
	for _, s := range table.Series(Selection{}) {
		for i, step := range s.Steps {
			c := Cell{Name: s.Name, Kind: s.Kind}
			if s.Kind == KindText {
				c.Text = s.Texts[i]
			} else {
				c.Number = s.Values[i]
			}
			if at := slices.IndexFunc(s.Exact, func(e Exact) bool { return e.Index == i }); at >= 0 {
				c.Exact = s.Exact[at].Text
			}
			cells[point{step, s.Name}] = c
		}
	}
	return cells
}

// hasTime reports whether a value has the Viewer's time of its step, which is the time of
// the step's last line: an older value may have an older time, and if that line left no
// value, none has it.
func hasTime(times []float64, want any) bool {
	number, ok := want.(json.Number)
	f, err := number.Float64()
	return !ok || err == nil && (slices.Contains(times, f) || slices.Max(times) < f)
}

// timesOf returns the times of each step.
func timesOf(table *Table) map[int64][]float64 {
	times := map[int64][]float64{}
	for _, s := range table.Series(Selection{}) {
		for i, step := range s.Steps {
			times[step] = append(times[step], s.Times[i])
		}
	}
	return times
}
