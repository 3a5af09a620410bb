package export

import (
	"math"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// fieldType is the type of a column in Arrow and Parquet.
type fieldType uint8

const (
	typeInteger fieldType = iota
	typeDouble
	typeBoolean
	typeText
)

// kindTypes are the types of the kinds.
var kindTypes = map[eventlog.Kind]fieldType{
	eventlog.KindNumber:  typeDouble,
	eventlog.KindBoolean: typeBoolean,
	eventlog.KindText:    typeText,
}

// field describes a column in Arrow and Parquet.
type field struct {
	name     string
	kind     fieldType
	nullable bool
}

// vector is the cells of a column in one batch, in the memory layout of Arrow:
// a null has a bit in valid that is not set, and a zero or an empty text as its
// value.
type vector struct {
	kind      fieldType
	length    int
	nullCount int
	valid     []byte    // a bit per cell; without meaning if there are no nulls
	integers  []int64   // of typeInteger
	doubles   []float64 // of typeDouble
	bits      []byte    // of typeBoolean, one per cell
	ends      []int32   // of typeText: where the text of each cell ends
	text      []byte
}

// newVectors are empty vectors of the fields.
func newVectors(fields []field) []*vector {
	vectors := make([]*vector, len(fields))
	for i, f := range fields {
		vectors[i] = &vector{kind: f.kind}
	}
	return vectors
}

// reset removes all cells and keeps the memory.
func (v *vector) reset() {
	*v = vector{
		kind: v.kind, valid: v.valid[:0], integers: v.integers[:0], doubles: v.doubles[:0],
		bits: v.bits[:0], ends: v.ends[:0], text: v.text[:0],
	}
}

func (v *vector) isValid(i int) bool { return v.nullCount == 0 || v.valid[i/8]&(1<<(i%8)) != 0 }

func (v *vector) boolean(i int) bool { return v.bits[i/8]&(1<<(i%8)) != 0 }

func (v *vector) textAt(i int) []byte {
	start := int32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

// isTooLong says whether the texts are longer than the offsets of Arrow can say.
func (v *vector) isTooLong() bool { return len(v.text) > math.MaxInt32 }

// appendBit sets bit i of the bits, which have i bits so far.
func appendBit(bits []byte, i int, set bool) []byte {
	if i%8 == 0 {
		bits = append(bits, 0)
	}
	if set {
		bits[i/8] |= 1 << (i % 8)
	}
	return bits
}

// next begins a cell.
func (v *vector) next(isValid bool) {
	v.valid = appendBit(v.valid, v.length, isValid)
	v.length++
	if !isValid {
		v.nullCount++
	}
}

func (v *vector) appendInteger(n int64) {
	v.next(true)
	v.integers = append(v.integers, n)
}

// appendText adds a text, which both formats want as UTF-8.
func (v *vector) appendText(text string) {
	v.next(true)
	v.text = append(v.text, strings.ToValidUTF8(text, "\uFFFD")...)
	v.ends = append(v.ends, int32(len(v.text))) //nolint:gosec // isTooLong is asked before the ends are used
}

// appendCell adds a value of the vector's type.
func (v *vector) appendCell(c *eventlog.Cell) {
	switch v.kind {
	case typeDouble:
		v.next(true)
		v.doubles = append(v.doubles, c.Number)
	case typeBoolean:
		v.bits = appendBit(v.bits, v.length, c.Number != 0)
		v.next(true)
	default:
		v.appendText(c.Text)
	}
}

// appendIf adds a value, or a null.
func (v *vector) appendIf(c *eventlog.Cell, present bool) {
	if present {
		v.appendCell(c)
	} else {
		v.appendNull()
	}
}

func (v *vector) appendNull() {
	switch v.kind {
	case typeInteger:
		v.integers = append(v.integers, 0)
	case typeDouble:
		v.doubles = append(v.doubles, 0)
	case typeBoolean:
		v.bits = appendBit(v.bits, v.length, false)
	case typeText:
		v.ends = append(v.ends, int32(len(v.text))) //nolint:gosec // isTooLong is asked before the ends are used
	}
	v.next(false)
}
