package eventlog

import (
	"math"
	"strconv"
)

// KindNone is the zero Kind. A Parser assigns it to a metric whose value is null: that is
// no point, but it erases an earlier value of the metric at that step, as in the Viewer's
// table.
const KindNone Kind = 0

// kindDropped marks a cell that the Viewer drops (a list or an object). It never leaves the
// Parser.
const kindDropped Kind = math.MaxUint8

// valueKind is the type of a JSON value in Python, which distinguishes integers and floats.
type valueKind uint8

const (
	jsonNull valueKind = iota
	jsonBool
	jsonInt
	jsonFloat
	jsonString
	jsonNested
)

type value struct {
	kind valueKind
	// num is the number, rounded if necessary; 0 or 1 for a boolean.
	num float64
	// integer is the value of an integer if fitsInt64.
	integer   int64
	fitsInt64 bool
	raw       []byte
	// text is a decoded string.
	text string
}

// cell returns the value as a cell.
func (p *Parser) cell(name string, v *value) Cell {
	switch v.kind {
	case jsonInt:
		c := Cell{Name: name, Kind: KindNumber, Number: v.num}
		if v.isRounded() {
			c.Exact = p.texts.keep(v.raw)
		}
		return c
	case jsonFloat:
		return Cell{Name: name, Kind: KindNumber, Number: v.num}
	case jsonBool:
		return Cell{Name: name, Kind: KindBoolean, Number: v.num}
	case jsonString:
		return Cell{Name: name, Kind: KindText, Text: v.text}
	case jsonNested:
		return Cell{Name: name, Kind: kindDropped}
	default:
		return Cell{Name: name}
	}
}

// isRounded reports whether num differs from the integer.
func (v *value) isRounded() bool {
	const allExact = 1 << 53 // a double holds every integer up to here
	switch {
	case v.fitsInt64 && -allExact <= v.integer && v.integer <= allExact:
		return false
	case v.fitsInt64:
		return v.num >= math.MaxInt64 || int64(v.num) != v.integer
	default:
		return strconv.FormatFloat(v.num, 'f', 0, 64) != string(v.raw)
	}
}

// seconds returns the value as a time. Only finite numbers are times.
func (v *value) seconds() (float64, bool) {
	numeric := v.kind == jsonInt || v.kind == jsonFloat
	if !numeric || math.IsNaN(v.num) || math.IsInf(v.num, 0) {
		return 0, false
	}
	return v.num, true
}

// value reads the value at i into v and returns the index after it, or -1.
func (p *Parser) value(b []byte, i int, v *value) int {
	if i = skipSpace(b, i); i == len(b) {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		end, plain := scanString(b, i)
		if end >= 0 {
			v.kind, v.text = jsonString, p.texts.intern(b[i:end], plain)
		}
		return end
	case '{', '[':
		v.kind = jsonNested
		return p.skip(b, i)
	case 't':
		v.kind, v.num = jsonBool, 1
		return scanWord(b, i, "true")
	case 'f':
		v.kind, v.num = jsonBool, 0
		return scanWord(b, i, "false")
	case 'n':
		v.kind = jsonNull
		return scanWord(b, i, "null")
	case 'N':
		v.kind, v.num = jsonFloat, math.NaN()
		return scanWord(b, i, "NaN")
	default:
		return v.number(b, i)
	}
}
