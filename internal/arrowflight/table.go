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

// maxBatchBytes is how large a batch may be, so that its message is accepted by
// clients that take no more than 4 MiB, which is the default of Go's.
const maxBatchBytes = 2 << 20

// exportTable is the table of an export.
type exportTable struct {
	*ipc.Reader
	file *exportFile
}

// openExport begins an export and reads its schema.
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

// sendExport sends the table of an export. The limitations of the format are in the
// app_metadata of an empty batch at the beginning, if there are any, and the trailer
// is in that of an empty batch at the end.
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
	// The table ends before its file does.
	if _, err := io.Copy(io.Discard, table.file); err != nil {
		return err
	}
	return errors.Join(out.writeEvent(&runicornapiv1.ExportExperimentResponse{Part: &runicornapiv1.ExportExperimentResponse_Trailer{Trailer: table.file.trailer}}), out.Close())
}

// exportFile is the bytes of an export.
type exportFile struct {
	stream  grpc.ServerStreamingClient[runicornapiv1.ExportExperimentResponse]
	header  *runicornapiv1.FileHeader
	trailer *runicornapiv1.FileTrailer
	chunk   []byte
	err     error // of the stream
}

// Read reads the bytes of the file. It ends with io.EOF behind the trailer only.
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

// receive takes the next part of the stream.
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

// wrap is the error of reading the table: that of the stream, if it failed.
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

// write sends a batch, in pieces if it is too large for one message. The metadata is
// at its last piece, so that a token in it stands for all of them.
func (w *tableWriter) write(batch arrow.RecordBatch, metadata []byte) error {
	rows := batch.NumRows()
	size := batchBytes(batch)
	step := max(1, min(rows, rows*maxBatchBytes/max(size, 1)))
	for from := int64(0); from < rows; from += step {
		to := min(from+step, rows)
		piece := batch.NewSlice(from, to)
		var about []byte
		if to == rows {
			about = metadata
		}
		err := w.WriteWithAppMetadata(piece, about)
		piece.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// batchBytes is how large the columns of a batch are together.
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

// writeEvent sends what is no point as an empty batch: readers that do not know
// of it see no row of it.
func (w *tableWriter) writeEvent(event proto.Message) error {
	text, err := toJSON.Marshal(event)
	if err != nil {
		return fmt.Errorf("write the metadata of a batch: %w", err)
	}
	rows := array.NewRecordBuilder(memory.DefaultAllocator, w.schema)
	defer rows.Release()
	empty := rows.NewRecordBatch()
	defer empty.Release()
	return w.WriteWithAppMetadata(empty, text)
}
