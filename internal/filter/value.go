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
	kindOpaque   // present, but not comparable
)

// Value is the value of a field in a record. The zero Value is missing. It is small and has
// no pointer except that of a text, so getters do not allocate.
type Value struct {
	text  string
	bits  uint64
	nanos int32
	kind  valueKind
}

// TextValue returns a text.
func TextValue(s string) Value { return Value{kind: kindText, text: s} }

// OptionalText returns a text, or a missing value if it is empty.
func OptionalText(s string) Value {
	if s == "" {
		return Value{}
	}
	return TextValue(s)
}

// NumberValue returns a floating-point number.
func NumberValue(f float64) Value { return Value{kind: kindNumber, bits: math.Float64bits(f)} }

// IntValue returns an integer. It is compared exactly, even beyond 2^53.
func IntValue(n int64) Value { return Value{kind: kindInteger, bits: uint64(n)} }

// BoolValue returns a boolean.
func BoolValue(b bool) Value {
	if b {
		return Value{kind: kindBool, bits: 1}
	}
	return Value{kind: kindBool}
}

// TimeValue returns a time; the zero time is missing.
func TimeValue(t time.Time) Value {
	if t.IsZero() {
		return Value{}
	}
	return Value{kind: kindTime, bits: uint64(t.Unix()), nanos: int32(t.Nanosecond())}
}

// DurationValue returns a duration.
func DurationValue(d time.Duration) Value { return Value{kind: kindDuration, bits: uint64(d)} }

// OpaqueValue returns a present value that is not comparable, such as a list.
func OpaqueValue() Value { return Value{kind: kindOpaque} }

// Known reports whether the value is not missing.
func (v Value) Known() bool { return v.kind != kindMissing }

// Scalar returns the value as a bool, a string, an int64 or a float64; nil for others.
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

// isUnordered reports whether the value sorts last.
func (v Value) isUnordered() bool {
	return v.kind == kindMissing || v.kind == kindOpaque || v.kind == kindNumber && math.IsNaN(v.number())
}

// Compare orders two values of one kind. comparable is false if a value is missing or NaN,
// or if the kinds differ. Integers and floating-point numbers are both numbers and compare
// exactly.
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

// compareIntFloat compares without rounding the integer. f must not be NaN.
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

// parseNumber parses a decimal integer or floating-point number.
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

// parseTime parses an RFC 3339 time, or a date as its midnight in UTC.
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

// Append appends an encoding of the value, for example for a page token; ReadValue decodes
// it.
func (v Value) Append(b []byte) []byte {
	b = append(b, byte(v.kind))
	b = binary.AppendUvarint(b, v.bits)
	b = binary.AppendUvarint(b, uint64(v.nanos))
	b = binary.AppendUvarint(b, uint64(len(v.text)))
	return append(b, v.text...)
}

// ReadValue decodes a value at the beginning of b and returns the rest.
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
