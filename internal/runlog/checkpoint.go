package runlog

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// How a log is identified, and why.
//
// A log only ever grows, unless somebody replaces it. Reading it all again would
// prove that it is the same one, and is what the checkpoint must save. It keeps the
// first and the last checkpointBytes of what was consumed (bytes, not hashes: they are
// as small, and what differs is certain to differ) beside the file's size and
// ETag, which the Viewer makes of time and size:
//
//   - Every read begins at the tail, in the same request as the new bytes, so
//     that a shorter log and another one under the same offsets are seen at once.
//     It also spares the answers 416, which carry no ETag.
//   - A log that has grown is also compared at its head, with one more request of
//     checkpointBytes: another log may have the same last lines at the same position. Who
//     asks about an idle log pays nothing for that.
//   - The same size with another ETag was written to without growing, which an
//     append never does: another log.
//
// What remains is a log that was edited in its middle, left alone at both ends,
// and has grown before the next poll. Nothing but reading it all would see that.
//
// Together both ends cost 1 KiB upstream, and the bytes after the last newline,
// which are asked for again until their newline comes.
const checkpointBytes = 512

// errLogReplaced says that the log is not the one that was read before.
var errLogReplaced = errors.New("the event file is another one")

// checkpoint is how far a log was read, and how it is identified. The zero checkpoint
// stands at the beginning of any log.
type checkpoint struct {
	// offset is the first byte that was not consumed.
	offset int64
	// head and tail are the first and the last bytes that were.
	head, tail []byte
	// size and etag are the file's when its end was last reached, zero if the
	// last read was cut.
	size int64
	etag string
	// unterminated says that the last line was consumed without a newline.
	unterminated bool
}

// readOffset is where the next read begins.
func (c *checkpoint) readOffset() int64 { return c.offset - int64(len(c.tail)) }

// advance notes bytes that were consumed. They are copied.
func (c *checkpoint) advance(consumed []byte) {
	c.offset += int64(len(consumed))
	if free := checkpointBytes - len(c.head); free > 0 {
		c.head = append(c.head, consumed[:min(free, len(consumed))]...)
	}
	if len(consumed) >= checkpointBytes {
		c.tail = append(c.tail[:0], consumed[len(consumed)-checkpointBytes:]...)
		return
	}
	c.tail = append(c.tail, consumed...)
	if excess := len(c.tail) - checkpointBytes; excess > 0 {
		c.tail = append(c.tail[:0], c.tail[excess:]...)
	}
}

// Write is advance by bytes of a file whose end is not known any more.
func (c *checkpoint) Write(consumed []byte) (int, error) {
	c.invalidateEnd()
	c.advance(consumed)
	return len(consumed), nil
}

// invalidateEnd forgets the end of the file before it is read further: if that
// fails, nothing is known about it.
func (c *checkpoint) invalidateEnd() { c.size, c.etag = 0, "" }

// setEnd notes that the end of the file was reached.
func (c *checkpoint) setEnd(part *Part) { c.size, c.etag = part.Size, part.ETag }

// isUnchanged says that the file is as it was when its end was last reached.
func (c *checkpoint) isUnchanged(part *Part) bool {
	return c.etag != "" && part.ETag == c.etag && part.Size == c.size
}

// verify reads the tail from a part that begins there and compares what is
// known. errLogReplaced means that the log is another one.
func (c *checkpoint) verify(ctx context.Context, src Source, part *Part) error {
	if part.Size >= 0 && part.Size < max(c.offset, c.size) {
		return errLogReplaced
	}
	if part.Size == c.size && c.etag != "" && part.ETag != "" && part.ETag != c.etag {
		return errLogReplaced
	}
	if err := compareBytes(part.Body, c.tail); err != nil {
		return err
	}
	if c.readOffset() == 0 || c.isUnchanged(part) {
		return nil // all of it was compared, or nothing has happened to it
	}
	return c.verifyHead(ctx, src.ReadEvents)
}

// readPartFunc reads a log as Source.ReadEvents does.
type readPartFunc func(ctx context.Context, offset, length int64) (*Part, error)

// verifyHead compares the first bytes of the log.
func (c *checkpoint) verifyHead(ctx context.Context, read readPartFunc) (err error) {
	part, err := read(ctx, 0, int64(len(c.head)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Body.Close()) }()
	if part.State != PartRanged && part.State != PartWhole {
		return errLogReplaced
	}
	return compareBytes(part.Body, c.head)
}

// compareBytes reads as many bytes as there are in want.
func compareBytes(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	switch {
	// ReadFull's own: wrapped in another error it is a body that was cut.
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return errLogReplaced
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return errLogReplaced
	}
	return nil
}
