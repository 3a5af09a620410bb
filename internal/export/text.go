package export

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// appendNumber writes a double so that reading it gives the same one, in the
// notation of JSON, and the others as Python's json module does. Integers to
// 2^53, up to which a double holds each of them, have all their digits: 1e+06
// reads as a float. A negative zero keeps its point: without it, it reads as the
// integer 0.
func appendNumber(b []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(b, "NaN"...)
	case math.IsInf(v, 1):
		return append(b, "Infinity"...)
	case math.IsInf(v, -1):
		return append(b, "-Infinity"...)
	case v == 0 && math.Signbit(v):
		return append(b, "-0.0"...)
	case v == math.Trunc(v) && math.Abs(v) <= 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// appendLogged writes the number of a cell. An integer of 64 bits has all its
// digits: those in Exact, or those of the double if it holds the integer.
func appendLogged(b []byte, c *eventlog.Cell) []byte {
	v := c.Number
	switch {
	case c.Exact != "":
		return append(b, c.Exact...)
	case v == math.Trunc(v) && -1<<63 <= v && v < 1<<63 && v != 0:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return appendNumber(b, v)
}

// appendCell writes a value as CSV has it.
func appendCell(b []byte, c *eventlog.Cell) []byte {
	switch c.Kind {
	case eventlog.KindText:
		return appendField(b, c.Text)
	case eventlog.KindBoolean:
		return strconv.AppendBool(b, c.Number != 0)
	}
	return appendLogged(b, c)
}

// appendField writes a text as a field of CSV (RFC 4180), in quotes if need
// be, or if it is empty: an absent value has none.
func appendField(b []byte, text string) []byte {
	if text != "" && !strings.ContainsAny(text, "\",\r\n") && text[0] != ' ' && text[len(text)-1] != ' ' {
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}

// appendText writes a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendText(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(b, `""`...) // a string always marshals
	}
	return append(b, quoted...)
}

// appendValue writes a value as JSON: an integer in full whatever its size,
// and a string for what JSON has no number for.
func appendValue(b []byte, c *eventlog.Cell) []byte {
	switch {
	case c.Kind == eventlog.KindText:
		return appendText(b, c.Text)
	case c.Kind == eventlog.KindBoolean:
		return strconv.AppendBool(b, c.Number != 0)
	case c.Kind != eventlog.KindNumber:
		return append(b, "null"...)
	case c.Exact == "" && !isFinite(c.Number):
		b = append(b, '"')
		b = appendNumber(b, c.Number)
		return append(b, '"')
	}
	return appendLogged(b, c)
}

func isFinite(v float64) bool { return v-v == 0 }
