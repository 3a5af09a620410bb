package arrowflight

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/flight"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// maxBatchBytes bounds a batch, in bytes, so that its message is within the limit of 4 MiB
// that Go clients have by default.
const maxBatchBytes = 2 << 20

// exportTable is the table of an export. Release it after use.
type exportTable struct {
	*ipc.Reader
	file *exportFile
}

// openExport starts an export and reads its schema.
func (s *Server) openExport(ctx context.Context, req *runicornapiv1.ExportExperimentRequest) (*exportTable, error) {
	stream, err := s.experiments.ExportExperiment(ctx, req)
	if err != nil {
		return nil, err
	}
	file := &exportFile{stream: stream}
	reader, err := ipc.NewReader(file)
	if err != nil {
		return nil, file.wrap(err)
	}
	return &exportTable{Reader: reader, file: file}, nil
}

// sendExport sends the table of an export. If the format has limitations, they are in the
// app_metadata of an empty first batch. The trailer is in that of an empty last batch.
func (s *Server) sendExport(ctx context.Context, req *runicornapiv1.ExportExperimentRequest, stream flight.FlightService_DoGetServer) error {
	table, err := s.openExport(ctx, req)
	if err != nil {
		return err
	}
	defer table.Release()
	out := newTableWriter(stream, table.Schema())
	if len(table.file.header.GetLimitations()) > 0 {
		if err := out.writeEvent(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Header{Header: table.file.header}}); err != nil {
			return err
		}
	}
	for table.Next() {
		if err := out.write(table.RecordBatch(), nil); err != nil {
			return err
		}
	}
	if err := table.Err(); err != nil {
		return table.file.wrap(err)
	}
	// The trailer follows the end of the table.
	if _, err := io.Copy(io.Discard, table.file); err != nil {
		return err
	}
	return errors.Join(out.writeEvent(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{Trailer: table.file.trailer}}), out.Close())
}

// exportFile is a reader of the bytes of an export.
type exportFile struct {
	stream  grpc.ServerStreamingClient[runicornapiv1.ExportExperimentResponse]
	header  *runicornapiv1.FileHeader
	trailer *runicornapiv1.FileTrailer
	chunk   []byte
	err     error // of the stream
}

// Read returns io.EOF only after the trailer.
func (f *exportFile) Read(b []byte) (int, error) {
	for len(f.chunk) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.receive()
	}
	n := copy(b, f.chunk)
	f.chunk = f.chunk[n:]
	return n, nil
}

// receive receives the next message of the stream.
func (f *exportFile) receive() {
	part, err := f.stream.Recv()
	switch {
	case errors.Is(err, io.EOF) && f.trailer != nil:
		f.err = io.EOF
	case errors.Is(err, io.EOF):
		f.err = io.ErrUnexpectedEOF
	case err != nil:
		f.err = err
	case part.GetHeader() != nil:
		f.header = part.GetHeader()
	case part.GetTrailer() != nil:
		f.trailer = part.GetTrailer()
	default:
		f.chunk = part.GetChunk()
	}
}

// wrap returns the error of the stream if it has failed, and else err, which is that of
// reading the table.
func (f *exportFile) wrap(err error) error {
	if f.err != nil && !errors.Is(f.err, io.EOF) {
		return f.err
	}
	return fmt.Errorf("read the Arrow stream of an export: %w", err)
}

// tableWriter sends batches of one schema.
type tableWriter struct {
	*flight.Writer
	schema *arrow.Schema
}

func newTableWriter(stream flight.FlightService_DoGetServer, schema *arrow.Schema) *tableWriter {
	return &tableWriter{Writer: flight.NewRecordWriter(stream, ipc.WithSchema(schema)), schema: schema}
}

// write sends a batch, split if it is too large for one message. The last part has the
// metadata, so that a resume token in it covers all parts.
func (w *tableWriter) write(batch arrow.RecordBatch, metadata []byte) error {
	rows := batch.NumRows()
	size := batchBytes(batch)
	step := max(1, min(rows, rows*maxBatchBytes/max(size, 1)))
	for from := int64(0); from < rows; from += step {
		to := min(from+step, rows)
		slice := batch.NewSlice(from, to)
		var about []byte
		if to == rows {
			about = metadata
		}
		err := w.WriteWithAppMetadata(slice, about)
		slice.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// batchBytes is the size of the columns of a batch.
func batchBytes(batch arrow.RecordBatch) (size int64) {
	for _, column := range batch.Columns() {
		for _, buffer := range column.Data().Buffers() {
			if buffer != nil {
				size += int64(buffer.Len())
			}
		}
	}
	return size
}

// writeEvent sends an event in the app_metadata of an empty batch, so clients that ignore the
// metadata see no additional rows.
func (w *tableWriter) writeEvent(event proto.Message) error {
	text, err := toJSON.Marshal(event)
	if err != nil {
		return fmt.Errorf("encode the metadata of a batch: %w", err)
	}
	rows := array.NewRecordBuilder(memory.DefaultAllocator, w.schema)
	defer rows.Release()
	empty := rows.NewRecordBatch()
	defer empty.Release()
	return w.WriteWithAppMetadata(empty, text)
}
