package artifacts

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// defaultMediaType is the media type of bytes that nobody knows more about.
const defaultMediaType = "application/octet-stream"

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
	// zip reads the body of a zip whose files are counted; nil for all else.
	zip         *zipReader
	limitations []string
}

// sendTo sends header, chunks and trailer, and no trailer unless all is well.
func (c *content) sendTo(stream grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]) (err error) {
	defer func() { err = errors.Join(err, c.body.Close()) }()
	c.sender = filestream.New(stream, filestream.StallTimeout)
	c.sender.Begin(c.header())
	if c.sender.Flush(); c.sender.Err() != nil {
		return c.sender.Err()
	}
	var limitations []string
	if c.zip == nil {
		err = c.sender.SendAll(c.body)
	} else {
		err = zipError(c, c.sender.SendAll(c.zip))
		if c.zip.lacks != "" {
			limitations = []string{c.zip.lacks}
		}
	}
	if err != nil {
		return err
	}
	if err := c.checkLength(); err != nil {
		return err
	}
	if err := c.body.Close(); err != nil { // nobody has to wait until the client has read the end
		return err
	}
	return c.sender.Finish(nil, limitations)
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
	return nil
}
