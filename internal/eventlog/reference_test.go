package eventlog

import (
	"bytes"
	"encoding/json"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The reference is a slow version of the Viewer's line reader: encoding/json into maps,
// with Python's rules on top. The Parser must agree with it on any bytes.

// numberKey marks an object that represents a number that JSON does not allow.
const numberKey = "\x7fnumber"

var pythonNumber = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|NaN|-?Infinity`)

// reference parses whole lines into what a Handler would receive.
func reference(file []byte) (got recorded) {
	position := int64(0)
	for line := range bytes.Lines(file) {
		start := position
		position += int64(len(line))
		text, isComplete := bytes.CutSuffix(line, []byte("\n"))
		if !isComplete {
			break
		}
		text = bytes.TrimFunc(text, isBlankRune)
		if len(text) == 0 {
			continue
		}
		event, ok := decode(text)
		if !ok {
			got.Counts.MalformedLines++
			continue
		}
		got.add(event, start)
	}
	return got
}

// decode is json.loads, with numbers as json.Number.
func decode(text []byte) (any, bool) {
	text = pythonNumber.ReplaceAllFunc(text, func(token []byte) []byte {
		if token[0] == '"' {
			return token
		}
		return []byte(`{"` + numberKey + `":"` + string(token) + `"}`)
	})
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var event any
	if err := decoder.Decode(&event); err != nil {
		return nil, false
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, false
	}
	return event, isReadable(event)
}

// isReadable refuses the integers that Python refuses.
func isReadable(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, member := range v {
			if !isReadable(member) {
				return false
			}
		}
	case []any:
		return !slices.ContainsFunc(v, func(element any) bool { return !isReadable(element) })
	case json.Number:
		return strings.ContainsAny(string(v), ".eE") || len(strings.TrimPrefix(string(v), "-")) <= 4300
	}
	return true
}

// add is the Viewer's _parse_event_line.
func (r *recorded) add(event any, position int64) {
	fields, ok := event.(map[string]any)
	if !ok {
		return
	}
	data, _ := fields["data"].(map[string]any)
	if data[numberKey] != nil {
		data = nil
	}
	switch fields["type"] {
	case "metrics":
		stepKey := "global_step"
		if data[stepKey] == nil {
			stepKey = "step"
		}
		stepValue := data[stepKey]
		step, ok := pythonInt(stepValue)
		if !ok {
			r.Counts.LinesWithoutStep++
			return
		}
		row := Row{Position: position, Step: step}
		row.Time, row.HasTime = pythonTime(data["time"], fields["ts"])
		for key, value := range data {
			if key == "global_step" || key == "time" || key == stepKey {
				continue
			}
			if c, ok := pythonCell(key, value); ok {
				row.Cells = append(row.Cells, c)
			}
		}
		r.Rows = append(r.Rows, row)
	case "image":
		if path, _ := data["path"].(string); path != "" {
			media := Media{Position: position, Path: path}
			media.Time, media.HasTime = pythonTime(fields["ts"])
			media.Caption, _ = data["caption"].(string)
			if media.Key, _ = data["key"].(string); media.Key == "" {
				media.Key = "image"
			}
			media.Step, media.HasStep = pythonInt(data["step"])
			r.Media = append(r.Media, media)
		}
	}
}

func pythonCell(key string, v any) (Cell, bool) {
	switch v := v.(type) {
	case nil:
		return Cell{Name: key}, true
	case string:
		return Cell{Name: key, Kind: KindText, Text: v}, true
	case bool:
		c := Cell{Name: key, Kind: KindBoolean}
		if v {
			c.Number = 1
		}
		return c, true
	}
	f, ok := pythonFloat(v)
	c := Cell{Name: key, Kind: KindNumber, Number: f}
	if n, isNumber := v.(json.Number); isNumber {
		if whole, isInt := new(big.Int).SetString(string(n), 10); isInt {
			rounded, accuracy := new(big.Float).SetInt(whole).Float64()
			if c.Number = rounded; accuracy != big.Exact {
				c.Exact = whole.String()
			}
		}
	}
	return c, ok
}

// pythonFloat returns a JSON number as a double, including NaN and the infinities.
func pythonFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		f, err := strconv.ParseFloat(string(v), 64)
		return f, err == nil || f != 0
	case map[string]any:
		text, _ := v[numberKey].(string)
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	}
	return 0, false
}

func pythonTime(candidates ...any) (float64, bool) {
	for _, v := range candidates {
		if f, ok := pythonFloat(v); ok && f-f == 0 {
			return f, true
		}
	}
	return 0, false
}

// pythonInt is int(v), if it fits an int64.
func pythonInt(v any) (int64, bool) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case string:
		return parseInt(v)
	case json.Number:
		if whole, ok := new(big.Int).SetString(string(v), 10); ok {
			return whole.Int64(), whole.IsInt64()
		}
		f, _ := strconv.ParseFloat(string(v), 64)
		if f-f != 0 {
			return 0, false
		}
		whole, _ := big.NewFloat(f).Int(nil)
		return whole.Int64(), whole.IsInt64()
	}
	return 0, false
}
