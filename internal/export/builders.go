package export

import (
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// appendAll adds a whole column of values.
func appendAll[T int64 | float64](field array.Builder, values []T) {
	switch b := field.(type) {
	case *array.Int64Builder:
		if ints, ok := any(values).([]int64); ok {
			b.AppendValues(ints, nil)
		}
	case *array.Float64Builder:
		if floats, ok := any(values).([]float64); ok {
			b.AppendValues(floats, nil)
		}
	}
}

// appendTyped adds a cell to the column of its kind.
func appendTyped(field array.Builder, c *eventlog.Cell) {
	switch b := field.(type) {
	case *array.Float64Builder:
		b.Append(c.Number)
	case *array.BooleanBuilder:
		b.Append(c.Number != 0)
	default:
		appendString(field, c.Text)
	}
}

// appendString adds a text, which Arrow wants as UTF-8.
func appendString(field array.Builder, text string) {
	if b, ok := field.(*array.StringBuilder); ok {
		b.Append(strings.ToValidUTF8(text, "\uFFFD"))
	}
}
