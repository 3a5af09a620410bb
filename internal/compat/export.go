package compat

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// export sends an experiment as a file. Besides the documented json and csv, format may
// be any other format of ExportExperiment.
func (c *compat) export(ctx context.Context, in *input) (answer, error) {
	var body struct {
		RunID        string `json:"run_id"`
		Format       string `json:"format"`
		IncludeMedia bool   `json:"include_media"`
	}
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	format, ok := runicornapiv1.ExportFormat_value["EXPORT_FORMAT_"+strings.ToUpper(body.Format)]
	if body.Format != "" && (!ok || format == 0) {
		return nil, invalid("format must be json or csv, or jsonl, arrow, arrow_file, parquet, zip, markdown or html")
	}
	stream, err := c.experiments.ExportExperiment(ctx, &runicornapiv1.ExportExperimentRequest{
		RunId: body.RunID, Format: runicornapiv1.ExportFormat(format), IncludeMedia: body.IncludeMedia,
	})
	if err != nil {
		return nil, err
	}
	f := &file{stream: stream}
	first, err := f.next()
	if err != nil {
		return nil, err
	}
	if f.header = first.GetHeader(); f.header == nil {
		return nil, errors.New("an export begins without a header")
	}
	f.part, err = f.next() // a failure before the first byte is a normal error response
	return f, err
}

// writeStall is how long a client may leave data unread before its export is ended: the
// export holds a stream of the server.
const writeStall = 2 * time.Minute

// file is an export while it is received.
type file struct {
	stream interface {
		Recv() (*runicornapiv1.ExportExperimentResponse, error)
	}
	header *runicornapiv1.FileHeader
	part   *runicornapiv1.ExportExperimentResponse // the next part
}

// next receives one part. A stream that ends OK without a trailer is an error.
func (f *file) next() (*runicornapiv1.ExportExperimentResponse, error) {
	part, err := f.stream.Recv()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("an export ends without a trailer")
	}
	return part, err
}

// write writes the file.
func (f *file) write(w http.ResponseWriter) error {
	h := w.Header()
	h.Set("Content-Type", f.header.GetContentType())
	if f.header.SizeBytes != nil {
		h.Set("Content-Length", strconv.FormatInt(f.header.GetSizeBytes(), 10))
	}
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	// If a transfer is aborted before its headers were sent, it looks like a broken
	// connection, and the client repeats its POST.
	if err := control.Flush(); err != nil {
		return err
	}
	for written := int64(0); ; {
		if trailer := f.part.GetTrailer(); trailer != nil {
			return errors.Join(control.SetWriteDeadline(time.Time{}), f.end(trailer, written))
		}
		if err := control.SetWriteDeadline(time.Now().Add(writeStall)); err != nil {
			return err
		}
		n, err := w.Write(f.part.GetChunk())
		written += int64(n)
		if err != nil {
			return err
		}
		if f.part, err = f.next(); err != nil {
			return err
		}
	}
}

// end returns an error if the file is truncated or the stream does not end without an
// error. What a complete file lacks is recorded in the file itself.
func (f *file) end(trailer *runicornapiv1.FileTrailer, written int64) error {
	if trailer.GetSizeBytes() != written {
		return fmt.Errorf("%d of %d bytes have come", written, trailer.GetSizeBytes())
	}
	if _, err := f.stream.Recv(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the trailer: %w", err)
	}
	return nil
}
