package export

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	flatbuffers "github.com/google/flatbuffers/go"
)

// arrowStream is a stream of Arrow (https://arrow.apache.org/docs/format/Columnar.html):
// a message with the schema, then one per batch. A message is a length, a header
// in Flatbuffers, and the buffers of the columns.
//
// The stream is written here, since every package of Apache's module builds a
// second JSON library and its own, which takes longer than the server itself.
// The tests read it with Apache's module and with pyarrow.
type arrowStream struct {
	out     *bufio.Writer
	header  *flatbuffers.Builder
	scratch []byte
}

// Numbers of Arrow's Flatbuffers schema (Message.fbs and Schema.fbs).
const (
	arrowVersion5     = 4
	arrowSchema       = 1
	arrowRecordBatch  = 3
	arrowInt          = 2
	arrowFloat        = 3
	arrowUTF8         = 5
	arrowBool         = 6
	arrowDouble       = 2 // the precision
	arrowAlignment    = 8
	arrowContinuation = 0xFFFFFFFF
)

// scratchValues is how many values are encoded at once.
const scratchValues = 2048

// newArrowStream begins a stream: it writes the schema.
func newArrowStream(out io.Writer, fields []field) (*arrowStream, error) {
	s := &arrowStream{out: bufio.NewWriterSize(out, bufferSize), header: flatbuffers.NewBuilder(1024)}
	b := s.header
	offsets := make([]flatbuffers.UOffsetT, len(fields))
	for i, f := range fields {
		offsets[i] = buildField(b, f)
	}
	list := b.CreateVectorOfTables(offsets)
	b.StartObject(4) // Schema: endianness (little), fields, metadata, features
	b.PrependUOffsetTSlot(1, list, 0)
	return s, s.writeHeader(arrowSchema, b.EndObject(), 0)
}

// buildField builds a Field: name, nullable, type, dictionary, children, metadata.
func buildField(b *flatbuffers.Builder, f field) flatbuffers.UOffsetT {
	name := b.CreateString(f.name)
	children := b.CreateVectorOfTables(nil) // readers require the list
	number, kind := buildType(b, f.kind)
	b.StartObject(7)
	b.PrependUOffsetTSlot(0, name, 0)
	b.PrependBoolSlot(1, f.nullable, false)
	b.PrependByteSlot(2, number, 0)
	b.PrependUOffsetTSlot(3, kind, 0)
	b.PrependUOffsetTSlot(5, children, 0)
	return b.EndObject()
}

// buildType builds a Type and says which one it is.
func buildType(b *flatbuffers.Builder, kind fieldType) (number byte, table flatbuffers.UOffsetT) {
	switch kind {
	case typeInteger:
		b.StartObject(2) // Int: bits, signed
		b.PrependInt32Slot(0, 64, 0)
		b.PrependBoolSlot(1, true, false)
		return arrowInt, b.EndObject()
	case typeDouble:
		b.StartObject(1) // FloatingPoint: precision
		b.PrependInt16Slot(0, arrowDouble, 0)
		return arrowFloat, b.EndObject()
	case typeBoolean:
		b.StartObject(0)
		return arrowBool, b.EndObject()
	default:
		b.StartObject(0)
		return arrowUTF8, b.EndObject()
	}
}

// writeHeader writes what stands before the body of a message.
func (s *arrowStream) writeHeader(kind byte, header flatbuffers.UOffsetT, bodyLength int64) error {
	b := s.header
	b.StartObject(5) // Message: version, kind of the header, header, length of the body, metadata
	b.PrependInt16Slot(0, arrowVersion5, 0)
	b.PrependByteSlot(1, kind, 0)
	b.PrependUOffsetTSlot(2, header, 0)
	b.PrependInt64Slot(3, bodyLength, 0)
	b.Finish(b.EndObject())
	message := b.FinishedBytes()
	s.scratch = binary.LittleEndian.AppendUint32(s.scratch[:0], arrowContinuation)
	s.scratch = binary.LittleEndian.AppendUint32(s.scratch, uint32(aligned(int64(len(message))))) //nolint:gosec // a header is far below 4 GB
	if _, err := s.out.Write(s.scratch); err != nil {
		return fmt.Errorf("write an Arrow message: %w", err)
	}
	err := s.writeBuffer(message)
	b.Reset()
	return err
}

func aligned(n int64) int64 { return (n + arrowAlignment - 1) &^ (arrowAlignment - 1) }

// writeBuffer writes bytes and pads them.
func (s *arrowStream) writeBuffer(b []byte) error {
	if _, err := s.out.Write(b); err != nil {
		return err
	}
	return s.pad(int64(len(b)))
}

// pad completes a buffer of n bytes.
func (s *arrowStream) pad(n int64) error {
	var zeros [arrowAlignment]byte
	_, err := s.out.Write(zeros[:aligned(n)-n])
	return err
}

// write adds a batch.
func (s *arrowStream) write(rows int, columns []*vector) error {
	b := s.header
	var lengths []int64
	for _, v := range columns {
		if v.isTooLong() {
			return errBatchTooLong
		}
		lengths = append(lengths, v.bufferLengths()...)
	}
	body := int64(0)
	for _, n := range lengths {
		body += aligned(n)
	}
	b.StartVector(16, len(lengths), 8) // Buffer: offset, length
	at := body
	for _, n := range slices.Backward(lengths) { // a list is built from its end
		at -= aligned(n)
		b.Prep(8, 16)
		b.PrependInt64(n)
		b.PrependInt64(at)
	}
	buffers := b.EndVector(len(lengths))
	b.StartVector(16, len(columns), 8) // FieldNode: length, nulls
	for _, v := range slices.Backward(columns) {
		b.Prep(8, 16)
		b.PrependInt64(int64(v.nullCount))
		b.PrependInt64(int64(v.length))
	}
	nodes := b.EndVector(len(columns))
	b.StartObject(5) // RecordBatch: rows, nodes, buffers, compression, counts of views
	b.PrependInt64Slot(0, int64(rows), 0)
	b.PrependUOffsetTSlot(1, nodes, 0)
	b.PrependUOffsetTSlot(2, buffers, 0)
	if err := s.writeHeader(arrowRecordBatch, b.EndObject(), body); err != nil {
		return err
	}
	for _, v := range columns {
		if err := s.writeVector(v); err != nil {
			return fmt.Errorf("write an Arrow column: %w", err)
		}
	}
	return nil
}

// bufferLengths are those of the buffers that writeVector writes.
func (v *vector) bufferLengths() []int64 {
	bitmap := int64(v.length+7) / 8
	valid := int64(0)
	if v.nullCount > 0 {
		valid = bitmap
	}
	switch v.kind {
	case typeBoolean:
		return []int64{valid, bitmap}
	case typeText:
		return []int64{valid, 4 * int64(v.length+1), int64(len(v.text))}
	default:
		return []int64{valid, 8 * int64(v.length)}
	}
}

// writeVector writes the buffers of a column: which cells are valid, unless all
// are, and their values; of texts the offsets and the bytes.
func (s *arrowStream) writeVector(v *vector) error {
	if v.nullCount > 0 {
		if err := s.writeBuffer(v.valid); err != nil {
			return err
		}
	}
	switch v.kind {
	case typeInteger:
		return writeValues(s, v.integers)
	case typeDouble:
		return writeValues(s, v.doubles)
	case typeBoolean:
		return s.writeBuffer(v.bits)
	default:
		if _, err := s.out.Write(make([]byte, 4)); err != nil { // the first text begins at 0
			return err
		}
		if err := writeValues(s, v.ends); err != nil {
			return err
		}
		if err := s.pad(4 * int64(v.length+1)); err != nil {
			return err
		}
		return s.writeBuffer(v.text)
	}
}

// writeValues writes numbers.
func writeValues[T int32 | int64 | float64](s *arrowStream, values []T) error {
	for part := range slices.Chunk(values, scratchValues) {
		var err error
		s.scratch, err = binary.Append(s.scratch[:0], binary.LittleEndian, part)
		if err != nil {
			return err
		}
		if _, err := s.out.Write(s.scratch); err != nil {
			return err
		}
	}
	return nil
}

// Close completes the stream.
func (s *arrowStream) Close() error {
	s.scratch = binary.LittleEndian.AppendUint32(s.scratch[:0], arrowContinuation)
	s.scratch = binary.LittleEndian.AppendUint32(s.scratch, 0)
	if _, err := s.out.Write(s.scratch); err != nil {
		return fmt.Errorf("end an Arrow stream: %w", err)
	}
	return s.out.Flush()
}
