package service

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// chunkSize is the most that one message carries, in bytes. The contract
	// allows 256 KiB, but grpc-go takes its buffers from pools of 32 KiB and
	// then of 1 MiB: a message that just fits into the first costs a thirtieth
	// of the memory at the same speed. What one download holds is a small
	// multiple of it, whatever the size of the file.
	chunkSize = 32<<10 - 64
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
	sent      int64  // bytes so far
	total     int64  // of the whole content in bytes; -1 if unknown
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
	if err := c.send(stream, c.header(), timeout); err != nil {
		return err
	}
	sum := sha256.New()
	if err := c.sendChunks(stream, sum, timeout); err != nil {
		return err
	}
	if err := c.body.Close(); err != nil { // nobody has to wait until the client has read the end
		return err
	}
	return stream.Send(&runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Trailer{
		Trailer: &runicornapiv1.FileTrailer{SizeBytes: c.offset + c.sent, Sha256: hex.EncodeToString(sum.Sum(nil))},
	}})
}

// sendChunks sends the content to its end, and adds it to the sum.
func (c *content) sendChunks(stream downloadStream, sum hash.Hash, timeout time.Duration) error {
	for {
		// Each message has bytes of its own: grpc-go may look at it after Send.
		chunk := make([]byte, chunkSize)
		n, readErr := io.ReadFull(c.body, chunk)
		if n > 0 {
			_, _ = sum.Write(chunk[:n]) // never fails, says hash.Hash
			c.zip.add(chunk[:n])
			part := &runicornapiv1.DownloadAssetResponse_Chunk{Chunk: chunk[:n]}
			if err := c.send(stream, &runicornapiv1.DownloadAssetResponse{Part: part}, timeout); err != nil {
				return err
			}
			c.sent += int64(n)
		}
		switch {
		case errors.Is(readErr, io.EOF), errors.Is(readErr, io.ErrUnexpectedEOF):
			return c.checkLength()
		case readErr != nil:
			return readErr
		}
	}
}

// header is the first message.
func (c *content) header() *runicornapiv1.DownloadAssetResponse {
	h := &runicornapiv1.FileHeader{
		FileName: safeFileName(c.name), ContentType: safeMediaType(c.mediaType),
		Etag: c.etag, Offset: c.offset, Limitations: c.limitations,
	}
	if c.total >= 0 {
		h.SizeBytes = &c.total
	}
	return &runicornapiv1.DownloadAssetResponse{Part: &runicornapiv1.DownloadAssetResponse_Header{Header: h}}
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
		hint = fmt.Sprintf("go on with offset %d and the etag of the header as if_match", c.offset+c.sent)
	}
	return &apierr.Error{
		Code: codes.ResourceExhausted, Reason: runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
		Message:  fmt.Sprintf("nothing was read for %v, so the viewer's stream was given to others; %s", timeout, hint),
		Metadata: map[string]string{"limit": "download_stall", "viewer": c.Name},
	}
}

// checkLength checks what has come against what was announced.
func (c *content) checkLength() error {
	if end := c.offset + c.sent; c.total >= 0 && end != c.total {
		return &apierr.Error{
			Code: codes.DataLoss, Reason: runicornapiv1.ErrorReason_ERROR_REASON_STREAM_CUT,
			Message: fmt.Sprintf("viewer %s: the content ends after %d of %d bytes", c.Name, end, c.total),
			Metadata: map[string]string{
				"viewer": c.Name, "bytes_delivered": strconv.FormatInt(c.sent, 10),
			},
		}
	}
	return c.zip.check(c.Run, c.id)
}
