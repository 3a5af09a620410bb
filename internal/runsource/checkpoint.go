package runsource

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// How a log is identified, and why.
//
// A log only ever grows, unless somebody replaces it. Reading it all again would
// prove that it is the same one, and is what the checkpoint must save. It keeps the
// first and the last CheckpointBytes of what was consumed (bytes, not hashes: they are
// as small, and what differs is certain to differ) beside the file's size and
// ETag, which the Viewer makes of time and size:
//
//   - Every read begins at the tail, in the same request as the new bytes, so
//     that a shorter log and another one under the same offsets are seen at once.
//     It also spares the answers 416, which carry no ETag.
//   - A log that has grown is also compared at its head, with one more request of
//     CheckpointBytes: another log may have the same last lines at the same position. Who
//     asks about an idle log pays nothing for that.
//   - The same size with another ETag was written to without growing, which an
//     append never does: another log.
//
// What remains is a log that was edited in its middle, left alone at both ends,
// and has grown before the next poll. Nothing but reading it all would see that.
//
// Together both ends cost 1 KiB upstream, and the bytes after the last newline,
// which are asked for again until their newline comes.

// CheckpointBytes is how much a log is known by at each end.
const CheckpointBytes = 512

// ErrLogReplaced says that the log is not the one that was read before.
var ErrLogReplaced = errors.New("the event file is another one")

// Checkpoint is how far a log was read, and how it is identified. The zero checkpoint
// stands at the beginning of any log.
type Checkpoint struct {
	// Offset is the first byte that was not consumed.
	Offset int64
	// Head and tail are the first and the last bytes that were.
	Head, Tail []byte
	// Size and etag are the file's when its end was last reached, zero if the
	// last read was cut.
	Size int64
	ETag string
	// Unterminated says that the last line was consumed without a newline.
	Unterminated bool
}

// ReadOffset is where the next read begins.
func (c *Checkpoint) ReadOffset() int64 { return c.Offset - int64(len(c.Tail)) }

// Advance notes bytes that were consumed. They are copied.
func (c *Checkpoint) Advance(consumed []byte) {
	c.Offset += int64(len(consumed))
	if free := CheckpointBytes - len(c.Head); free > 0 {
		c.Head = append(c.Head, consumed[:min(free, len(consumed))]...)
	}
	if len(consumed) >= CheckpointBytes {
		c.Tail = append(c.Tail[:0], consumed[len(consumed)-CheckpointBytes:]...)
		return
	}
	c.Tail = append(c.Tail, consumed...)
	if excess := len(c.Tail) - CheckpointBytes; excess > 0 {
		c.Tail = append(c.Tail[:0], c.Tail[excess:]...)
	}
}

// Write is advance by bytes of a file whose end is not known any more.
func (c *Checkpoint) Write(consumed []byte) (int, error) {
	c.InvalidateEnd()
	c.Advance(consumed)
	return len(consumed), nil
}

// InvalidateEnd forgets the end of the file before it is read further: if that
// fails, nothing is known about it.
func (c *Checkpoint) InvalidateEnd() { c.Size, c.ETag = 0, "" }

// SetEnd notes that the end of the file was reached.
func (c *Checkpoint) SetEnd(part *restclient.FilePart) { c.Size, c.ETag = part.Size, part.ETag }

// IsUnchanged says that the file is as it was when its end was last reached.
func (c *Checkpoint) IsUnchanged(part *restclient.FilePart) bool {
	return c.ETag != "" && part.ETag == c.ETag && part.Size == c.Size
}

// Verify reads the tail from a part that begins there and compares what is
// known. ErrLogReplaced means that the log is another one.
func (c *Checkpoint) Verify(ctx context.Context, src Source, part *restclient.FilePart) error {
	etagChanged, err := c.VerifyTail(part)
	switch {
	case err != nil:
		return err
	case etagChanged:
		return ErrLogReplaced
	case c.ReadOffset() == 0 || c.IsUnchanged(part):
		return nil // all of it was compared, or nothing has happened to it
	}
	return c.VerifyHead(ctx, src.ReadEvents)
}

// VerifyTail is Verify without the head, which costs a request. EtagChanged says that the
// file has another ETag although its size is the same.
func (c *Checkpoint) VerifyTail(part *restclient.FilePart) (etagChanged bool, err error) {
	if part.Size >= 0 && part.Size < max(c.Offset, c.Size) {
		return false, ErrLogReplaced
	}
	etagChanged = part.Size == c.Size && c.ETag != "" && part.ETag != "" && part.ETag != c.ETag
	return etagChanged, CompareBytes(part, c.Tail)
}

// ReadFunc reads a log as Source.ReadEvents does.
type ReadFunc func(ctx context.Context, offset, length int64) (*restclient.FilePart, error)

// VerifyHead compares the first bytes of the log.
func (c *Checkpoint) VerifyHead(ctx context.Context, read ReadFunc) (err error) {
	part, err := read(ctx, 0, int64(len(c.Head)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	if part.State != restclient.FileRanged && part.State != restclient.FileWhole {
		return ErrLogReplaced
	}
	return CompareBytes(part, c.Head)
}

// CompareBytes reads as many bytes as there are in want.
func CompareBytes(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	switch {
	// ReadFull's own: wrapped in another error it is a body that was cut.
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return ErrLogReplaced
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return ErrLogReplaced
	}
	return nil
}
