package export

import (
	"strings"

	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// appendStep adds a step.
func appendStep(field array.Builder, step int64) {
	if b, ok := field.(*array.Int64Builder); ok {
		b.Append(step)
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
