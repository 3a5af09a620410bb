package runsource

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// How a log is identified, and why.
//
// A log only grows, unless it is replaced. Reading it completely would prove that it is the
// same one; the checkpoint exists to avoid that. It keeps the first and the last
// CheckpointBytes that were consumed (bytes, not hashes: they are as small, and a
// difference is certain) with the file's size and ETag, which the Viewer derives from time
// and size:
//
//   - Every read begins at the tail, in the same request as the new bytes, so that a
//     shorter log, or another one under the same offsets, is detected at once. It also
//     avoids 416 answers, which have no ETag.
//   - A log that has grown is also compared at its head, with one more request of
//     CheckpointBytes: another log may have the same last lines at the same position.
//     Polling an idle log costs nothing extra.
//   - The same size with another ETag means that the file was written without growing,
//     which an append never does: it is another log.
//
// Not detected is a log that was edited in the middle, has the same ends, and has grown
// before the next poll. Only reading it completely would detect that.
//
// Both ends together cost 1 KiB per read, plus the bytes after the last newline, which are
// read again until their newline arrives.

// CheckpointBytes is how many bytes are kept of each end of a log.
const CheckpointBytes = 512

// ErrLogReplaced reports that the log is not the one that was read before.
var ErrLogReplaced = errors.New("the log was replaced by another one")

// Checkpoint is how far a log was read, and how it is identified. The zero checkpoint is
// the beginning of any log.
type Checkpoint struct {
	// Offset is the first byte that was not consumed.
	Offset int64
	// Head and Tail are the first and the last consumed bytes.
	Head, Tail []byte
	// Size and ETag are the file's when its end was last reached, zero if the last read was
	// truncated.
	Size int64
	ETag string
	// Unterminated reports that the last line was consumed without a newline.
	Unterminated bool
}

// ReadOffset returns the offset of the next read.
func (c *Checkpoint) ReadOffset() int64 { return c.Offset - int64(len(c.Tail)) }

// Advance records consumed bytes, which it copies.
func (c *Checkpoint) Advance(consumed []byte) {
	c.Offset += int64(len(consumed))
	if free := CheckpointBytes - len(c.Head); free > 0 {
		c.Head = append(c.Head, consumed[:min(free, len(consumed))]...)
	}
	c.Tail = append(c.Tail, consumed[max(0, len(consumed)-CheckpointBytes):]...)
	c.Tail = slices.Delete(c.Tail, 0, max(0, len(c.Tail)-CheckpointBytes))
}

// Write is Advance for a file whose end is no longer known.
func (c *Checkpoint) Write(consumed []byte) (int, error) {
	c.InvalidateEnd()
	c.Advance(consumed)
	return len(consumed), nil
}

// InvalidateEnd forgets the end of the file before reading on: if the read fails, the end
// is unknown.
func (c *Checkpoint) InvalidateEnd() { c.Size, c.ETag = 0, "" }

// SetEnd records that the end of the file was reached.
func (c *Checkpoint) SetEnd(part *restclient.FilePart) { c.Size, c.ETag = part.Size, part.ETag }

// IsUnchanged reports whether the file is the same as when its end was last reached.
func (c *Checkpoint) IsUnchanged(part *restclient.FilePart) bool {
	return c.ETag != "" && part.ETag == c.ETag && part.Size == c.Size
}

// Verify reads the tail from a part that begins there, and compares it and the head. The
// error is ErrLogReplaced if they differ.
func (c *Checkpoint) Verify(ctx context.Context, src Source, part *restclient.FilePart) error {
	etagChanged, err := c.VerifyTail(part)
	switch {
	case err != nil:
		return err
	case etagChanged:
		return ErrLogReplaced
	case c.ReadOffset() == 0 || c.IsUnchanged(part):
		return nil // all of it was compared, or nothing has changed
	}
	return c.VerifyHead(ctx, src.ReadEvents)
}

// VerifyTail is Verify without the head, which costs a request. etagChanged reports that
// the ETag has changed while the size has not.
func (c *Checkpoint) VerifyTail(part *restclient.FilePart) (etagChanged bool, err error) {
	if part.Size >= 0 && part.Size < max(c.Offset, c.Size) {
		return false, ErrLogReplaced
	}
	etagChanged = part.Size == c.Size && c.ETag != "" && part.ETag != "" && part.ETag != c.ETag
	return etagChanged, CompareBytes(part, c.Tail)
}

// ReadFunc reads a log like Source.ReadEvents.
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

// CompareBytes reads len(want) bytes and compares them.
func CompareBytes(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	switch {
	// ReadFull's own error; wrapped in another one it is a truncated body.
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return ErrLogReplaced
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return ErrLogReplaced
	}
	return nil
}
