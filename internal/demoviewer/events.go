package demoviewer

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eventFile is the events.jsonl of a run. What it says depends on the time only, so a size and a later read agree.
type eventFile interface {
	size(now time.Time) int64
	modified(now time.Time) time.Time
	writeRange(w io.Writer, from, to int64) error
	table(now time.Time) table
}

// written is an event file that holds what was put into it.
type written struct {
	raw     []byte // only ever appended to, so that a slice of it may be read without the lock
	changed time.Time
}

func (f *written) size(time.Time) int64         { return int64(len(f.raw)) }
func (f *written) modified(time.Time) time.Time { return f.changed }
func (f *written) snapshot() *written           { return &written{raw: f.raw, changed: f.changed} }
func (f *written) table(time.Time) table        { return mergeLines(f.raw) }

func (f *written) writeRange(w io.Writer, from, to int64) error {
	_, err := w.Write(f.raw[from:to])
	return err
}

// event is one line of the file.
type event struct {
	Type string                     `json:"type"`
	Data map[string]json.RawMessage `json:"data"`
}

// table is the merged view: one row per step, cells in the order of the columns, nil for null.
type table struct {
	columns []string
	rows    int
	row     func(i int) []json.RawMessage
}

// mergeLines applies the Viewer's rules: global_step, else step, as an integer; later cells win; lists and objects and
// the keys step and epoch are dropped; rows sorted by step, columns by code point behind global_step.
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

// sortedTable orders merged rows and their columns.
func sortedTable(merged map[int64]map[string]json.RawMessage, seen map[string]struct{}) table {
	if len(merged) == 0 {
		return table{columns: []string{}}
	}
	steps := make([]int64, 0, len(merged))
	for step := range merged {
		steps = append(steps, step)
	}
	slices.Sort(steps)
	columns := append([]string{"global_step"}, sortedKeys(seen)...)
	return table{columns: columns, rows: len(steps), row: func(i int) []json.RawMessage {
		cells := make([]json.RawMessage, len(columns))
		for j, name := range columns {
			cells[j] = merged[steps[i]][name]
		}
		return cells
	}}
}

// parseEvent reads a line; the Viewer skips the malformed ones.
func parseEvent(line []byte) (event, bool) {
	var e event
	if json.Unmarshal(nullNonFinite(line), &e) != nil {
		return event{}, false
	}
	return e, true
}

// nullNonFinite replaces the bare tokens NaN, Infinity and -Infinity, which JSON lacks, by null.
func nullNonFinite(line []byte) []byte {
	if !bytes.ContainsAny(line, "NI") {
		return line
	}
	out := make([]byte, 0, len(line))
	inString := false
	for i := 0; i < len(line); i++ {
		switch b := line[i]; {
		case inString && b == '\\' && i+1 < len(line):
			out = append(out, b)
			i++
		case b == '"':
			inString = !inString
		case !inString:
			if token := nonFiniteToken(line[i:]); token > 0 {
				out = append(out, "null"...)
				i += token - 1
				continue
			}
		}
		out = append(out, line[i])
	}
	return out
}

// nonFiniteToken is the length of a non-finite token at the start of b, or 0.
func nonFiniteToken(b []byte) int {
	for _, token := range []string{"NaN", "Infinity", "-Infinity"} {
		if bytes.HasPrefix(b, []byte(token)) {
			return len(token)
		}
	}
	return 0
}

// finite keeps a cell unless it is a number that a double cannot hold: Python reads 1e400 as infinity, and infinity is
// shown as null.
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

// pythonInt is Python's int() of a cell: numbers are cut off, numeric strings read, booleans are 0 and 1.
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
