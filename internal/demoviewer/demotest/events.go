package demotest

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// event is one line of the file.
type event struct {
	Type string                     `json:"type"`
	Data map[string]json.RawMessage `json:"data"`
}

// table is the merged view: one row per step, cells in column order, nil for null.
type table struct {
	columns []string
	rows    [][]json.RawMessage
}

// mergeLines applies the Viewer's rules: the step is global_step, else step, as an integer;
// later cells win; lists, objects and the keys step and epoch are dropped; rows are sorted
// by step, columns by code point after global_step.
func mergeLines(raw []byte) table {
	merged := map[int64]map[string]json.RawMessage{}
	seen := map[string]struct{}{}
	for line := range bytes.Lines(raw) {
		e, ok := parseEvent(line)
		if !ok || e.Type != "metrics" {
			continue
		}
		stepCell := e.Data["global_step"]
		if stepCell == nil || string(stepCell) == "null" {
			stepCell = e.Data["step"]
		}
		step, ok := pythonInt(stepCell)
		if !ok {
			continue
		}
		if merged[step] == nil {
			merged[step] = map[string]json.RawMessage{"global_step": strconv.AppendInt(nil, step, 10)}
		}
		for name, value := range e.Data {
			if name == "global_step" || name == "step" || name == "epoch" || value[0] == '[' || value[0] == '{' {
				continue
			}
			merged[step][name] = finite(value)
			seen[name] = struct{}{}
		}
	}
	return sortedTable(merged, seen)
}

// sortedTable sorts merged rows and their columns.
func sortedTable(merged map[int64]map[string]json.RawMessage, seen map[string]struct{}) table {
	if len(merged) == 0 {
		return table{columns: []string{}}
	}
	t := table{columns: append([]string{"global_step"}, slices.Sorted(maps.Keys(seen))...)}
	for _, step := range slices.Sorted(maps.Keys(merged)) {
		cells := make([]json.RawMessage, len(t.columns))
		for j, name := range t.columns {
			cells[j] = merged[step][name]
		}
		t.rows = append(t.rows, cells)
	}
	return t
}

// parseEvent parses a line; the Viewer skips malformed ones.
func parseEvent(line []byte) (event, bool) {
	var e event
	if json.Unmarshal(demoviewer.NullNonFinite(line), &e) != nil {
		return event{}, false
	}
	return e, true
}

// finite keeps a cell unless it is a number out of range for a double: Python reads 1e400
// as infinity, which is written as null.
func finite(cell json.RawMessage) json.RawMessage {
	if string(cell) == "null" {
		return nil
	}
	if strings.ContainsAny(string(cell), "eE") && cell[0] != '"' {
		if x, err := strconv.ParseFloat(string(cell), 64); err != nil && math.IsInf(x, 0) {
			return nil
		}
	}
	return cell
}

// pythonInt is Python's int() of a cell: numbers are truncated, numeric strings parsed,
// booleans are 0 and 1.
func pythonInt(cell json.RawMessage) (int64, bool) {
	switch s := string(cell); {
	case s == "" || s == "null":
		return 0, false
	case s == "true":
		return 1, true
	case s == "false":
		return 0, true
	case s[0] == '"':
		var inner string
		if json.Unmarshal(cell, &inner) != nil {
			return 0, false
		}
		n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(inner), "_", ""), 10, 64)
		return n, err == nil
	default:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n, true
		}
		x, err := strconv.ParseFloat(s, 64)
		if err != nil || math.Abs(x) >= 1<<63 {
			return 0, false
		}
		return int64(x), true
	}
}
