package export

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// appendNumber writes a double so that reading it gives the same double, in JSON
// notation; NaN and ±Inf as Python's json module writes them. Integers of up to 64 bits
// have all the digits of the double: 1e+06 would be read as a float. Negative zero keeps
// its point, without which it would be read as the integer 0.
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
	case v == math.Trunc(v) && -1<<63 <= v && v < 1<<63:
		return strconv.AppendInt(b, int64(v), 10)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64)
}

// Number formats a number for files.
func Number(v float64) string { return string(appendNumber(nil, v)) }

// appendLogged writes the number of a cell, integers with all their digits.
func appendLogged(b []byte, c *eventlog.Cell) []byte {
	if c.Exact != "" {
		return append(b, c.Exact...)
	}
	return appendNumber(b, c.Number)
}

// appendCell writes a value for CSV.
func appendCell(b []byte, c *eventlog.Cell) []byte {
	switch c.Kind {
	case eventlog.KindText:
		return appendField(b, c.Text)
	case eventlog.KindBoolean:
		return strconv.AppendBool(b, c.Number != 0)
	}
	switch {
	case c.Exact != "":
	case math.IsInf(c.Number, 1):
		return append(b, "inf"...) // polars does not read "Infinity" as a number
	case math.IsInf(c.Number, -1):
		return append(b, "-inf"...)
	}
	return appendLogged(b, c)
}

// appendField writes a text as a field of CSV (RFC 4180). It is quoted if necessary, and
// if it is empty, because an absent value is empty without quotes.
func appendField(b []byte, text string) []byte {
	text = plainText(text)
	if text != "" && !strings.ContainsAny(text, "\",\r\n") && text[0] != ' ' && text[len(text)-1] != ' ' {
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}

// plainText neutralizes texts that a spreadsheet would evaluate as a formula: it prepends
// an apostrophe, except to numbers.
func plainText(text string) string {
	text = visible(text)
	if text != "" && strings.IndexByte("=+-@\t\r", text[0]) >= 0 {
		if _, err := strconv.ParseFloat(text, 64); err != nil {
			return "'" + text
		}
	}
	return text
}

// visible replaces control characters, which terminals interpret, and invalid UTF-8 by
// U+FFFD. Line breaks and tabs are kept.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' {
			return utf8.RuneError
		}
		return r
	}, text)
}

// appendText writes a JSON string. Invalid UTF-8 becomes U+FFFD. All control characters
// are escaped, including those that JSON allows, because terminals interpret them.
func appendText(b []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return append(b, `""`...) // a string can always be encoded
	}
	if bytes.ContainsFunc(quoted, unicode.IsControl) {
		for _, r := range string(quoted) {
			if unicode.IsControl(r) {
				b = fmt.Appendf(b, `\u%04x`, r)
			} else {
				b = utf8.AppendRune(b, r)
			}
		}
		return b
	}
	return append(b, quoted...)
}

// appendValue writes a value as JSON: integers in full, and strings for values that JSON
// has no number for.
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
