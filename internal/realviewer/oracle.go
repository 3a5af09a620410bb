package realviewer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ValueKind is the kind of a cell in an event file.
type ValueKind string

// The kinds of cells. A null is a cell: it erases what an earlier line wrote at its step.
const (
	KindNumber  ValueKind = "number"
	KindBoolean ValueKind = "boolean"
	KindText    ValueKind = "text"
	KindNull    ValueKind = "null"
)

// Value is one cell. Cells are comparable with ==, except NaN.
type Value struct {
	Kind ValueKind
	// Number is the value of a number, and 0 or 1 for a boolean.
	Number float64
	// Text is the value of a text, or a number's literal ("NaN", "Infinity" and "-Infinity"
	// included).
	Text string
}

// LoggedLine is a line of metrics that has a step.
type LoggedLine struct {
	// Offset is where the line starts, in bytes.
	Offset int64
	// Step is data.global_step, else data.step.
	Step int64
	// Time is data.time, else ts, in Unix seconds; NaN if neither is a number.
	Time float64
	// Cells are the metrics: every key, including stage and epoch, except time, the key
	// that gave the step, lists and objects.
	Cells map[string]Value
}

// InTable reports whether the Viewer's table includes a metric of this name.
func InTable(name string) bool { return name != "epoch" && name != "step" }

// Log is a parsed event file.
type Log struct {
	// Lines are the lines of metrics that have a step, in the order of the file.
	Lines []LoggedLine
	// Malformed counts complete lines that are not JSON, except blank ones.
	Malformed int
	// LinesWithoutStep counts lines of metrics without a usable step.
	LinesWithoutStep int
	// Other counts lines that are JSON, but not metrics: images, for instance.
	Other int
	// Unterminated has the bytes after the last newline, from UnterminatedOffset.
	Unterminated       []byte
	UnterminatedOffset int64
}

// LoggedPoint is one value of one metric.
type LoggedPoint struct {
	Offset int64
	Step   int64
	Time   float64
	Value  Value
}

// ReadLog parses an event file with a slow, simple parser based on encoding/json. A file
// that does not exist is an empty Log.
func ReadLog(path string) (*Log, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return &Log{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read event file: %w", err)
	}
	return ParseLog(text), nil
}

// ParseLog parses the bytes of an event file.
func ParseLog(text []byte) *Log {
	logged := &Log{}
	for offset := 0; ; {
		end := bytes.IndexByte(text[offset:], '\n')
		if end < 0 {
			logged.Unterminated, logged.UnterminatedOffset = text[offset:], int64(offset)
			return logged
		}
		logged.addLine(int64(offset), text[offset:offset+end])
		offset += end + 1
	}
}

// Ended returns the Log of a run that has ended: an unterminated last line is a line if it
// is complete JSON.
func (l *Log) Ended() *Log {
	if !json.Valid(quoteNonFinite(l.Unterminated)) {
		return l
	}
	ended := *l
	ended.Lines = slices.Clone(l.Lines)
	ended.Unterminated, ended.UnterminatedOffset = nil, l.UnterminatedOffset+int64(len(l.Unterminated))
	ended.addLine(l.UnterminatedOffset, l.Unterminated)
	return &ended
}

func (l *Log) addLine(offset int64, line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	var event any
	if err := decodeLine(line, &event); err != nil {
		l.Malformed++
		return
	}
	fields, _ := event.(map[string]any)
	data, isObject := fields["data"].(map[string]any)
	if fields["type"] != "metrics" {
		l.Other++
		return
	}
	if !isObject {
		l.LinesWithoutStep++
		return
	}
	step, ok := stepOf(data)
	if !ok {
		l.LinesWithoutStep++
		return
	}
	l.Lines = append(l.Lines, LoggedLine{
		Offset: offset, Step: step, Time: timeOf(data["time"], fields["ts"]), Cells: cellsOf(data),
	})
}

// decodeLine decodes exactly one JSON value, with numbers as json.Number.
func decodeLine(line []byte, into *any) error {
	decoder := json.NewDecoder(bytes.NewReader(quoteNonFinite(line)))
	decoder.UseNumber()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// nonFinitePrefix marks a quoted NaN or infinity. No SDK writes it.
const nonFinitePrefix = "\uE000non-finite:"

// stringOrNonFinite matches a string, which hides the tokens within it, or a token that
// Python writes and JSON does not allow. The last string may be incomplete.
var stringOrNonFinite = regexp.MustCompile(`(?s)"(?:[^"\\]|\\.)*"?|NaN|-?Infinity`)

// quoteNonFinite quotes the tokens outside strings that JSON does not allow.
func quoteNonFinite(line []byte) []byte {
	if !bytes.ContainsAny(line, "NI") {
		return line
	}
	return stringOrNonFinite.ReplaceAllFunc(line, func(match []byte) []byte {
		if match[0] == '"' {
			return match
		}
		return []byte(`"` + nonFinitePrefix + string(match) + `"`)
	})
}

// stepOf follows the Viewer: int(global_step), else int(step), where Python's int accepts
// numbers, booleans and texts of digits.
func stepOf(data map[string]any) (int64, bool) {
	value := data["global_step"]
	if value == nil {
		value = data["step"]
	}
	switch value := value.(type) {
	case bool:
		if value {
			return 1, true
		}
		return 0, true
	case string:
		step, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		return step, err == nil
	case json.Number:
		if step, err := strconv.ParseInt(value.String(), 10, 64); err == nil {
			return step, true
		}
		number, err := value.Float64()
		if err != nil || math.Abs(number) >= 1<<63 {
			return 0, false
		}
		return int64(number), true
	default:
		return 0, false
	}
}

func timeOf(candidates ...any) float64 {
	for _, candidate := range candidates {
		if value, ok := valueOf(candidate); ok && value.Kind == KindNumber {
			return value.Number
		}
	}
	return math.NaN()
}

func cellsOf(data map[string]any) map[string]Value {
	cells := make(map[string]Value, len(data))
	for name, cell := range data {
		switch {
		case name == "global_step", name == "time", name == "step" && data["global_step"] == nil:
			continue
		}
		if value, ok := valueOf(cell); ok {
			cells[name] = value
		}
	}
	return cells
}

// valueOf returns the cell of a decoded value; lists and objects are not cells.
func valueOf(cell any) (Value, bool) {
	switch cell := cell.(type) {
	case nil:
		return Value{Kind: KindNull}, true
	case bool:
		if cell {
			return Value{Kind: KindBoolean, Number: 1}, true
		}
		return Value{Kind: KindBoolean}, true
	case json.Number:
		// Out of range is ±Inf, as in Python.
		number, _ := strconv.ParseFloat(cell.String(), 64)
		return Value{Kind: KindNumber, Number: number, Text: cell.String()}, true
	case string:
		if token, ok := strings.CutPrefix(cell, nonFinitePrefix); ok {
			number, _ := strconv.ParseFloat(token, 64)
			return Value{Kind: KindNumber, Number: number, Text: token}, true
		}
		return Value{Kind: KindText, Text: cell}, true
	default:
		return Value{}, false
	}
}
