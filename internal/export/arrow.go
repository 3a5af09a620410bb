package export

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// columnTypes are the types of the kinds of cells in Arrow and Parquet.
var columnTypes = map[eventlog.Kind]arrow.DataType{
	eventlog.KindNumber:  arrow.PrimitiveTypes.Float64,
	eventlog.KindBoolean: arrow.FixedWidthTypes.Boolean,
	eventlog.KindText:    arrow.BinaryTypes.String,
}

// recordFile writes batches of rows to an Arrow stream, an Arrow file or a Parquet file.
// It does not keep the batches.
type recordFile interface {
	Write(batch arrow.RecordBatch) error
	Close() error
}

// newRecordFile starts a file with the columns of schema.
func newRecordFile(f Format, out io.Writer, schema *arrow.Schema) (recordFile, error) {
	if f == Parquet {
		return newParquetFile(out, schema)
	}
	buffer := bufio.NewWriterSize(out, bufferSize)
	if f == ArrowFile {
		file, err := ipc.NewFileWriter(buffer, ipc.WithSchema(schema))
		return &arrowWriter{file, buffer}, err
	}
	return &arrowWriter{ipc.NewWriter(buffer, ipc.WithSchema(schema)), buffer}, nil
}

// arrowWriter is a writer of Arrow with its buffer.
type arrowWriter struct {
	recordFile
	buffer *bufio.Writer
}

// Close completes the file.
func (w *arrowWriter) Close() error { return errors.Join(w.recordFile.Close(), w.buffer.Flush()) }

// identityFields are the columns before the metrics.
func identityFields(multiRun bool) []arrow.Field {
	step := arrow.Field{Name: titleStep, Type: arrow.PrimitiveTypes.Int64}
	if !multiRun {
		return []arrow.Field{step}
	}
	return []arrow.Field{
		{Name: titleViewer, Type: arrow.BinaryTypes.String}, {Name: titleRun, Type: arrow.BinaryTypes.String}, step,
	}
}

// appendValueTo adds a value of the column's type.
func appendValueTo(column array.Builder, c *eventlog.Cell) {
	switch b := column.(type) {
	case *array.Float64Builder:
		b.Append(c.Number)
	case *array.BooleanBuilder:
		b.Append(c.Number != 0)
	case *array.StringBuilder:
		b.Append(strings.ToValidUTF8(c.Text, "\uFFFD"))
	}
}

// sharedSteps returns a column that shares the memory of steps.
func sharedSteps(steps []int64) arrow.Array {
	return shared(arrow.PrimitiveTypes.Int64, len(steps), arrow.Int64Traits.CastToBytes(steps))
}

// sharedValues returns a column that shares the memory of values.
func sharedValues(values []float64) arrow.Array {
	return shared(arrow.PrimitiveTypes.Float64, len(values), arrow.Float64Traits.CastToBytes(values))
}

func shared(t arrow.DataType, rows int, values []byte) arrow.Array {
	return array.MakeFromData(array.NewData(t, rows, []*memory.Buffer{nil, memory.NewBufferBytes(values)}, nil, 0, 0))
}
