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

// defaultMediaType is the media type of content of an unknown type.
const defaultMediaType = "application/octet-stream"

// content is one thing that is being sent to a client. It belongs to one goroutine;
// sendTo closes it.
type content struct {
	target.Run
	id        string
	name      string
	mediaType string
	etag      string // empty if the download cannot be resumed
	offset    int64  // of the first byte of body in the content
	sender    *filestream.Sender
	total     int64 // of the whole content in bytes; -1 if unknown
	body      io.ReadCloser
	// zip reads the body of a zip whose number of files is checked; nil for everything
	// else.
	zip         *zipReader
	limitations []string
}

// sendTo sends header, chunks and trailer. The trailer is sent only if the content is
// complete.
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
	if err := c.body.Close(); err != nil { // before the client has read the end, to free the Viewer's stream early
		return err
	}
	return c.sender.Finish(nil, limitations)
}

// header returns the message that precedes the chunks.
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

// checkLength compares the bytes that were sent with the size that the header announced.
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
