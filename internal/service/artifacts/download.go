package artifacts

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// stallTimeout is how long a client may leave one chunk unread before the
	// Viewer's stream is given up: streams are few (8 for each Viewer), and
	// other callers wait for them.
	stallTimeout = time.Minute
	// defaultMediaType is the media type of bytes that nobody knows more about.
	defaultMediaType = "application/octet-stream"
)

// content is the content of one thing on its way to a client. It belongs to
// one goroutine, and is closed by sendTo.
type content struct {
	target.Run
	id        string
	name      string
	mediaType string
	etag      string // empty: it cannot be resumed
	offset    int64  // where the body begins in the content
	sender    *filestream.Sender
	total     int64 // of the whole content in bytes; -1 if unknown
	body      io.ReadCloser
	// zip counts what a zip holds; nil for all else.
	zip         *zipCount
	limitations []string
}

// downloadStream is where a content goes.
type downloadStream = grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]

// sendTo sends header, chunks and trailer, and no trailer unless all is well.
// A client that leaves a message unread for longer than stall loses the
// Viewer's stream.
func (c *content) sendTo(stream downloadStream, timeout time.Duration) (err error) {
	defer func() { err = errors.Join(err, c.body.Close()) }()
	c.sender = filestream.New(func(part filestream.Part) error {
		if part.Trailer != nil { // the Viewer's stream is closed already
			return stream.Send(downloadMessage(part))
		}
		return c.send(stream, downloadMessage(part), timeout)
	})
	c.sender.Begin(c.header())
	if c.sender.Flush(); c.sender.Err() != nil {
		return c.sender.Err()
	}
	if err := c.sender.SendAll(c.content()); err != nil {
		return err
	}
	if err := c.checkLength(); err != nil {
		return err
	}
	if err := c.body.Close(); err != nil { // nobody has to wait until the client has read the end
		return err
	}
	return c.sender.Finish(nil)
}

// content is the body, whose files are counted where it is a zip.
func (c *content) content() io.Reader {
	if c.zip == nil {
		return c.body
	}
	return io.TeeReader(c.body, c.zip)
}

// downloadMessage makes the message of a part of the content.
func downloadMessage(part filestream.Part) *runicornapiv1.DownloadAssetResponse {
	switch {
	case part.Header != nil:
		return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Header{Header: part.Header}}
	case part.Trailer != nil:
		return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Trailer{Trailer: part.Trailer}}
	}
	return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Chunk{Chunk: part.Chunk}}
}

// header says what follows.
func (c *content) header() *runicornapiv1.FileHeader {
	h := &runicornapiv1.FileHeader{
		FileName: safeFileName(c.name), ContentType: safeMediaType(c.mediaType),
		Etag: c.etag, Offset: c.offset, Limitations: c.limitations,
	}
	if c.total >= 0 {
		h.SizeBytes = &c.total
	}
	return h
}

// send sends one message. While the client does not read, Send waits; after
// the limit the Viewer's stream is closed under it, so that it is free for
// others, and the call fails once the client reads on.
func (c *content) send(stream downloadStream, message *runicornapiv1.DownloadAssetResponse, timeout time.Duration) error {
	closed := make(chan error, 1)
	timer := time.AfterFunc(timeout, func() { closed <- c.body.Close() })
	err := stream.Send(message)
	if timer.Stop() {
		return err
	}
	closeErr := <-closed // the body belongs to this goroutine again
	if err == nil {
		err = c.stallError(timeout)
	}
	return errors.Join(err, closeErr)
}

// stallError is the error of a client that stopped reading.
func (c *content) stallError(timeout time.Duration) error {
	hint := "begin again"
	if c.etag != "" {
		hint = fmt.Sprintf("go on with offset %d and the etag of the header as if_match", c.sender.End())
	}
	e := apierr.OverLimit("download_stall", "nothing was read for %v, so the viewer's stream was given to others; %s", timeout, hint)
	e.Metadata["viewer"] = c.Name
	return e
}

// checkLength checks what has come against what was announced.
func (c *content) checkLength() error {
	if end := c.sender.End(); c.total >= 0 && end != c.total {
		return &apierr.Error{
			Code: codes.DataLoss, Reason: runicornapiv1.ErrorReason_ERROR_REASON_STREAM_CUT,
			Message: fmt.Sprintf("viewer %s: the content ends after %d of %d bytes", c.Name, end, c.total),
			Metadata: map[string]string{
				"viewer": c.Name, "bytes_delivered": strconv.FormatInt(end-c.offset, 10),
			},
		}
	}
	return c.zip.check(c.Run, c.id)
}
