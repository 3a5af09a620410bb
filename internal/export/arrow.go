package export

import (
	"bufio"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// arrowTypes are the types of columns in Arrow.
var arrowTypes = map[fieldType]arrow.DataType{
	typeInteger: arrow.PrimitiveTypes.Int64,
	typeDouble:  arrow.PrimitiveTypes.Float64,
	typeBoolean: arrow.FixedWidthTypes.Boolean,
	typeText:    arrow.BinaryTypes.String,
}

// arrowStream is a table in Arrow's stream format.
type arrowStream struct {
	out    *bufio.Writer
	writer *ipc.Writer
	schema *arrow.Schema
}

func newArrowStream(out io.Writer, fields []field) *arrowStream {
	columns := make([]arrow.Field, 0, len(fields))
	for _, f := range fields {
		columns = append(columns, arrow.Field{Name: f.name, Type: arrowTypes[f.kind], Nullable: f.nullable})
	}
	s := &arrowStream{out: bufio.NewWriterSize(out, bufferSize), schema: arrow.NewSchema(columns, nil)}
	s.writer = ipc.NewWriter(s.out, ipc.WithSchema(s.schema))
	return s
}

// write adds a batch. The columns may be changed afterwards.
func (s *arrowStream) write(rows int, columns []*vector) error {
	arrays := make([]arrow.Array, 0, len(columns))
	for _, v := range columns {
		if v.isTooLong() {
			return errBatchTooLong
		}
		arrays = append(arrays, v.arrow())
	}
	batch := array.NewRecordBatch(s.schema, arrays, int64(rows))
	defer batch.Release()
	if err := s.writer.Write(batch); err != nil {
		return fmt.Errorf("write an Arrow batch: %w", err)
	}
	return nil
}

// arrow is the vector as an array, in the vector's own memory.
func (v *vector) arrow() arrow.Array {
	buffers := []*memory.Buffer{nil}
	if v.nullCount > 0 {
		buffers[0] = memory.NewBufferBytes(v.valid)
	}
	switch v.kind {
	case typeInteger:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int64Traits.CastToBytes(v.integers)))
	case typeDouble:
		buffers = append(buffers, memory.NewBufferBytes(arrow.Float64Traits.CastToBytes(v.doubles)))
	case typeBoolean:
		buffers = append(buffers, memory.NewBufferBytes(v.bits))
	default:
		offsets := append([]int32{0}, v.ends...)
		buffers = append(buffers, memory.NewBufferBytes(arrow.Int32Traits.CastToBytes(offsets)), memory.NewBufferBytes(v.text))
	}
	return array.MakeFromData(array.NewData(arrowTypes[v.kind], v.length, buffers, nil, v.nullCount, 0))
}

// Close completes the stream.
func (s *arrowStream) Close() error {
	if err := s.writer.Close(); err != nil {
		return fmt.Errorf("end an Arrow stream: %w", err)
	}
	return s.out.Flush()
}
