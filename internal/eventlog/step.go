package eventlog

import (
	"math"
	"strings"
	"unicode"
)

// stepValue is a step value in a line.
type stepValue struct {
	given bool // neither absent nor null
	valid bool // n is set
	n     int64
}

// step returns the result of Python's int(), which the Viewer uses to read a step. Steps
// beyond int64 are invalid here.
func (v *value) step() stepValue {
	s := stepValue{given: v.kind != jsonNull}
	switch v.kind {
	case jsonBool:
		s.n, s.valid = int64(v.num), true
	case jsonInt:
		s.n, s.valid = v.integer, v.fitsInt64
	case jsonFloat:
		s.n, s.valid = truncate(v.num)
	case jsonString:
		s.n, s.valid = parseInt(v.text)
	case jsonNull, jsonNested:
	}
	return s
}

// truncate is Python's int() for a float. It fails for NaN and the infinities.
func truncate(f float64) (int64, bool) {
	const limit = 1 << 63
	if f = math.Trunc(f); f >= -limit && f < limit {
		return int64(f), true
	}
	return 0, false
}

// parseInt is Python's int() for a text: white space around it, a sign, leading zeros,
// single underscores between digits, and the decimal digits of every script are allowed.
func parseInt(text string) (int64, bool) {
	text = strings.TrimSpace(text)
	negative := strings.HasPrefix(text, "-")
	if negative || strings.HasPrefix(text, "+") {
		text = text[1:]
	}
	var n uint64
	digits, wasDigit := 0, false
	for _, r := range text {
		if r == '_' && wasDigit {
			wasDigit = false
			continue
		}
		d, ok := digitOf(r)
		if digits++; !ok || digits > maxIntDigits || n > math.MaxUint64/10-1 {
			return 0, false
		}
		n, wasDigit = n*10+d, true
	}
	switch {
	case !wasDigit:
		return 0, false
	case negative && n <= -math.MinInt64:
		return -int64(n), true
	default:
		return int64(n), !negative && n <= math.MaxInt64
	}
}

// digitOf returns the value of a decimal digit. The ten digits of a script are consecutive
// in Unicode.
func digitOf(r rune) (uint64, bool) {
	if '0' <= r && r <= '9' {
		return uint64(r - '0'), true
	}
	for _, script := range unicode.Nd.R16 {
		if rune(script.Lo) <= r && r <= rune(script.Hi) {
			return uint64(r-rune(script.Lo)) % 10, true
		}
	}
	for _, script := range unicode.Nd.R32 {
		if rune(script.Lo) <= r && r <= rune(script.Hi) {
			return uint64(r-rune(script.Lo)) % 10, true
		}
	}
	return 0, false
}
