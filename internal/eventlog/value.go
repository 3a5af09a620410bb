package eventlog

import (
	"math"
	"strconv"
)

// KindNone is the zero Kind. A Parser gives it to a metric whose value is null:
// that is no point, but it takes back what an earlier line has said of the
// metric at that step, as it does in the Viewer's table.
const KindNone Kind = 0

// kindDropped marks a cell that the Viewer does not keep (a list or an object).
// It never leaves the Parser.
const kindDropped Kind = math.MaxUint8

// valueKind is a JSON value as Python sees it: integers and floats differ.
type valueKind uint8

const (
	isNull valueKind = iota
	isBool
	isInt
	isFloat
	isText
	isNested
)

// value is one JSON value.
type value struct {
	kind valueKind
	// num is the number, rounded if need be; 0 or 1 for a boolean.
	num float64
	// whole is an integer, if fits says that an int64 can hold it.
	whole int64
	fits  bool
	// raw is the text of an integer.
	raw []byte
	// text is the decoded string of isText.
	text string
}

// cell makes a cell of the value.
func (p *Parser) cell(name string, v *value) Cell {
	switch v.kind {
	case isInt:
		c := Cell{Name: name, Kind: KindNumber, Number: v.num}
		if v.isRounded() {
			c.Exact = p.texts.keep(v.raw)
		}
		return c
	case isFloat:
		return Cell{Name: name, Kind: KindNumber, Number: v.num}
	case isBool:
		return Cell{Name: name, Kind: KindBoolean, Number: v.num}
	case isText:
		return Cell{Name: name, Kind: KindText, Text: v.text}
	case isNested:
		return Cell{Name: name, Kind: kindDropped}
	default:
		return Cell{Name: name}
	}
}

// isRounded says whether num is only near to the integer.
func (v *value) isRounded() bool {
	const allExact = 1 << 53 // up to here a double holds every integer
	switch {
	case v.fits && -allExact <= v.whole && v.whole <= allExact:
		return false
	case v.fits:
		return v.num >= math.MaxInt64 || int64(v.num) != v.whole
	default:
		return strconv.FormatFloat(v.num, 'f', 0, 64) != string(v.raw)
	}
}

// seconds is the value as a time. Only finite numbers are times.
func (v *value) seconds() (float64, bool) {
	isNumber := v.kind == isInt || v.kind == isFloat
	if !isNumber || math.IsNaN(v.num) || math.IsInf(v.num, 0) {
		return 0, false
	}
	return v.num, true
}

// value reads the value at i into v and returns where it ends, or -1.
func (p *Parser) value(b []byte, i int, v *value) int {
	if i = skipSpace(b, i); i == len(b) {
		return -1
	}
	switch c := b[i]; c {
	case '"':
		end, isPlain := scanString(b, i)
		if end >= 0 {
			v.kind, v.text = isText, p.texts.intern(b[i:end], isPlain)
		}
		return end
	case '{', '[':
		v.kind = isNested
		return p.skip(b, i)
	case 't':
		v.kind, v.num = isBool, 1
		return scanWord(b, i, "true")
	case 'f':
		v.kind, v.num = isBool, 0
		return scanWord(b, i, "false")
	case 'n':
		v.kind = isNull
		return scanWord(b, i, "null")
	case 'N':
		v.kind, v.num = isFloat, math.NaN()
		return scanWord(b, i, "NaN")
	default:
		return v.number(b, i)
	}
}
