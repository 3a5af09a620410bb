package filter

import (
	"cmp"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
)

type valueKind uint8

const (
	kindMissing valueKind = iota
	kindNumber            // float64 in bits
	kindInteger
	kindText
	kindBool
	kindTime     // Unix seconds in bits, nanoseconds in nanos
	kindDuration // nanoseconds in bits
	kindOpaque   // present, but comparable with nothing
)

// Value is what a record has in a field. The zero Value is a missing one. It
// is small and holds no pointer but that of a text, so getters allocate
// nothing.
type Value struct {
	text  string
	bits  uint64
	nanos int32
	kind  valueKind
}

// TextValue is a text.
func TextValue(s string) Value { return Value{kind: kindText, text: s} }

// OptionalText is a text that is missing if it is empty.
func OptionalText(s string) Value {
	if s == "" {
		return Value{}
	}
	return TextValue(s)
}

// NumberValue is a floating-point number.
func NumberValue(f float64) Value { return Value{kind: kindNumber, bits: math.Float64bits(f)} }

// IntValue is an integer. It compares exactly, beyond 2^53 too.
func IntValue(n int64) Value { return Value{kind: kindInteger, bits: uint64(n)} }

// BoolValue is a truth value.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: kindBool, bits: 1}
	}
	return Value{kind: kindBool}
}

// TimeValue is an instant; the zero time is missing.
func TimeValue(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Value{kind: kindTime, bits: uint64(t.Unix()), nanos: int32(t.Nanosecond())}
}

// DurationValue is a length of time.
func DurationValue(d time.Duration) Value { return Value{kind: kindDuration, bits: uint64(d)} }

// OpaqueValue is present and comparable with nothing, such as a list.
func OpaqueValue() Value { return Value{kind: kindOpaque} }

// Known reports whether the value is there.
func (v Value) Known() bool { return v.kind != kindMissing }

// Scalar is the value as a bool, a string, an int64 or a float64; nil if it is none of
// these.
func (v Value) Scalar() any {
	switch v.kind {
	case kindBool:
		return v.bits != 0
	case kindText:
		return v.text
	case kindInteger:
		return int64(v.bits)
	case kindNumber:
		return v.number()
	}
	return nil
}

func (v Value) number() float64 { return math.Float64frombits(v.bits) }

// isUnordered reports whether the value has no place in an order.
func (v Value) isUnordered() bool {
	return v.kind == kindMissing || v.kind == kindOpaque || v.kind == kindNumber && math.IsNaN(v.number())
}

// Compare orders two values of one kind. comparable is false if a value is
// missing or NaN, or the kinds differ; integers and floating-point numbers are
// both numbers and compare exactly.
func (v Value) Compare(w Value) (order int, comparable bool) {
	switch {
	case v.isUnordered(), w.isUnordered():
		return 0, false
	case v.kind == kindInteger && w.kind == kindNumber:
		return compareIntFloat(int64(v.bits), w.number()), true
	case v.kind == kindNumber && w.kind == kindInteger:
		return -compareIntFloat(int64(w.bits), v.number()), true
	case v.kind != w.kind:
		return 0, false
	case v.kind == kindText:
		return strings.Compare(v.text, w.text), true
	case v.kind == kindNumber:
		return cmp.Compare(v.number(), w.number()), true
	}
	if c := cmp.Compare(int64(v.bits), int64(w.bits)); c != 0 {
		return c, true
	}
	return cmp.Compare(v.nanos, w.nanos), true
}

// compareIntFloat compares without rounding the integer. f is not NaN.
func compareIntFloat(n int64, f float64) int {
	switch {
	case f >= 1<<63:
		return -1
	case f < -1<<63:
		return 1
	}
	whole := math.Floor(f)
	if c := cmp.Compare(n, int64(whole)); c != 0 {
		return c
	}
	return cmp.Compare(whole, f)
}

// parseNumber reads an integer or a floating-point number in decimal.
func parseNumber(s string) (Value, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return IntValue(n), true
	}
	if strings.ContainsAny(s, "xX_") {
		return Value{}, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return NumberValue(f), err == nil
}

// parseTime reads an RFC 3339 time, or a date, which is its midnight in UTC.
func parseTime(s string) (Value, bool) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return TimeValue(t), true
		}
	}
	return Value{}, false
}

func parseDuration(s string) (Value, bool) {
	d, err := time.ParseDuration(s)
	return DurationValue(d), err == nil
}

// Append encodes the value, such as for a page token; ReadValue decodes it.
func (v Value) Append(b []byte) []byte {
	b = append(b, byte(v.kind))
	b = binary.AppendUvarint(b, v.bits)
	b = binary.AppendUvarint(b, uint64(v.nanos))
	b = binary.AppendUvarint(b, uint64(len(v.text)))
	return append(b, v.text...)
}

// ReadValue decodes a value at the beginning of b and returns what follows.
func ReadValue(b []byte) (v Value, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > byte(kindOpaque) {
		return v, b, false
	}
	var fields [3]uint64
	rest = b[1:]
	for i := range fields {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			return v, b, false
		}
		fields[i], rest = n, rest[size:]
	}
	if fields[1] >= 1e9 || fields[2] > uint64(len(rest)) {
		return v, b, false
	}
	v = Value{kind: valueKind(b[0]), bits: fields[0], nanos: int32(fields[1]), text: string(rest[:fields[2]])}
	return v, rest[fields[2]:], true
}
