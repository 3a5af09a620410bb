package runlog

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// How a log is known again, and why so.
//
// A log only ever grows, unless somebody replaces it. Reading it all again would
// prove that it is the same one, and is what the mark must save. It keeps the
// first and the last markBytes of what was consumed (bytes, not hashes: they are
// as small, and what differs is certain to differ) beside the file's size and
// ETag, which the Viewer makes of time and size:
//
//   - Every read begins at the tail, in the same request as the new bytes, so
//     that a shorter log and another one under the same offsets are seen at once.
//     It also spares the answers 416, which carry no ETag.
//   - A log that has grown is also compared at its head, with one more request of
//     markBytes: another log may have the same last lines at the same place. Who
//     asks about a log at rest pays nothing for that.
//   - The same size with another ETag was written to without growing, which an
//     append never does: another log.
//
// What remains is a log that was edited in its middle, left alone at both ends,
// and has grown before anyone looked. Nothing but reading it all would see that.
//
// Together both ends cost 1 KiB upstream, and the bytes after the last newline,
// which are asked for again until their newline comes.
const markBytes = 512

// errOtherLog says that the log is not the one that was read before.
var errOtherLog = errors.New("the event file is another one")

// mark is how far a log was read, and what it is known again by. The zero mark
// stands at the beginning of any log.
type mark struct {
	// next is the first byte that was not consumed.
	next int64
	// head and tail are the first and the last bytes that were.
	head, tail []byte
	// size and etag are the file's when its end was last reached, zero if the
	// last read was cut.
	size int64
	etag string
	// isOpen says that the last line was consumed without a newline.
	isOpen bool
}

// from is where the next read begins.
func (m *mark) from() int64 { return m.next - int64(len(m.tail)) }

// advance notes bytes that were consumed. They are copied.
func (m *mark) advance(consumed []byte) {
	m.next += int64(len(consumed))
	if room := markBytes - len(m.head); room > 0 {
		m.head = append(m.head, consumed[:min(room, len(consumed))]...)
	}
	if len(consumed) >= markBytes {
		m.tail = append(m.tail[:0], consumed[len(consumed)-markBytes:]...)
		return
	}
	m.tail = append(m.tail, consumed...)
	if extra := len(m.tail) - markBytes; extra > 0 {
		m.tail = append(m.tail[:0], m.tail[extra:]...)
	}
}

// interrupt forgets the end of the file before it is read further: if that
// fails, nothing is known about it.
func (m *mark) interrupt() { m.size, m.etag = 0, "" }

// arrive notes that the end of the file was reached.
func (m *mark) arrive(part *Part) { m.size, m.etag = part.Size, part.ETag }

// isAtRest says that the file is as it was when its end was last reached.
func (m *mark) isAtRest(part *Part) bool {
	return m.etag != "" && part.ETag == m.etag && part.Size == m.size
}

// verify reads the tail from a part that begins there and compares what is
// known. errOtherLog means that the log is another one.
func (m *mark) verify(ctx context.Context, src Source, part *Part) error {
	if part.Size >= 0 && part.Size < max(m.next, m.size) {
		return errOtherLog
	}
	if part.Size == m.size && m.etag != "" && part.ETag != "" && part.ETag != m.etag {
		return errOtherLog
	}
	if err := compare(part.Body, m.tail); err != nil {
		return err
	}
	if m.from() == 0 || m.isAtRest(part) {
		return nil // all of it was compared, or nothing has happened to it
	}
	return m.verifyHead(ctx, src.ReadEvents)
}

// readPart reads a log as Source.ReadEvents does.
type readPart func(ctx context.Context, offset, length int64) (*Part, error)

// verifyHead compares the first bytes of the log.
func (m *mark) verifyHead(ctx context.Context, read readPart) (err error) {
	part, err := read(ctx, 0, int64(len(m.head)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Body.Close()) }()
	if part.State != PartRanged && part.State != PartWhole {
		return errOtherLog
	}
	return compare(part.Body, m.head)
}

// compare reads as many bytes as there are in want.
func compare(r io.Reader, want []byte) error {
	got := make([]byte, len(want))
	_, err := io.ReadFull(r, got)
	switch {
	// ReadFull's own: wrapped in another error it is a body that was cut.
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return errOtherLog
	case err != nil:
		return err
	case !bytes.Equal(got, want):
		return errOtherLog
	}
	return nil
}
