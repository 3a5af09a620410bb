package search

import (
	"context"
	"errors"
	"hash/crc64"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// mark is how far a log was read and what it is known by: a runsource.Checkpoint with
// sums in place of the bytes, since one is held for every run.
type mark struct {
	offset           int64
	head, tail       uint64 // sums of the first and the last bytes that were read
	headLen, tailLen uint16
	unterminated     bool
	size             int64  // of the file when its end was reached
	etag             uint64 // sum of its ETag, 0 if it had none
}

var sumTable = crc64.MakeTable(crc64.ECMA)

func sum(b []byte) uint64 { return crc64.Checksum(b, sumTable) }

// markOf shortens a checkpoint. Known is the mark that it continued from: where the
// checkpoint does not have the head any more, known does.
func markOf(c *runsource.Checkpoint, known mark) mark {
	m := mark{
		offset: c.Offset, tail: sum(c.Tail), tailLen: uint16(len(c.Tail)), unterminated: c.Unterminated, size: c.Size, //nolint:gosec // at most CheckpointBytes
		head: known.head, headLen: known.headLen,
	}
	if m.headLen < runsource.CheckpointBytes {
		m.head, m.headLen = sum(c.Head), uint16(len(c.Head)) //nolint:gosec // likewise
	}
	if c.ETag != "" {
		m.etag = sum([]byte(c.ETag))
	}
	return m
}

// readOffset is where the next read begins: at the tail, which is compared.
func (m *mark) readOffset() int64 { return m.offset - int64(m.tailLen) }

// isUnchanged says that the file is as it was when its end was last reached.
func (m *mark) isUnchanged(part *restclient.FilePart) bool {
	return m.etag != 0 && part.ETag != "" && sum([]byte(part.ETag)) == m.etag && part.Size == m.size
}

// resume reads the tail of a part that begins there and returns the checkpoint to go
// on with. runsource.ErrLogReplaced means that the log is another one.
func (m *mark) resume(part *restclient.FilePart) (*runsource.Checkpoint, error) {
	etagChanged := m.etag != 0 && part.ETag != "" && sum([]byte(part.ETag)) != m.etag
	if part.Size >= 0 && (part.Size < max(m.offset, m.size) || part.Size == m.size && etagChanged) {
		return nil, runsource.ErrLogReplaced
	}
	tail, err := readSummed(part, int(m.tailLen), m.tail)
	if err != nil {
		return nil, err
	}
	c := &runsource.Checkpoint{Offset: m.offset, Tail: tail, Unterminated: m.unterminated}
	if m.headLen < runsource.CheckpointBytes {
		c.Head = append([]byte(nil), tail...) // all that was read
	}
	return c, nil
}

// verifyHead compares the first bytes of the log.
func (m *mark) verifyHead(ctx context.Context, src runsource.Source) (err error) {
	if m.readOffset() == 0 {
		return nil // all of it is the tail
	}
	part, err := src.ReadEvents(ctx, 0, int64(m.headLen))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	if part.State != restclient.FileRanged && part.State != restclient.FileWhole {
		return runsource.ErrLogReplaced
	}
	_, err = readSummed(part, int(m.headLen), m.head)
	return err
}

// readSummed reads bytes whose sum is known.
func readSummed(r io.Reader, n int, want uint64) ([]byte, error) {
	b := make([]byte, n)
	switch _, err := io.ReadFull(r, b); {
	case err == io.EOF || err == io.ErrUnexpectedEOF: // ReadFull's own; wrapped it is a body that was cut
		return nil, runsource.ErrLogReplaced
	case err != nil:
		return nil, err
	case sum(b) != want:
		return nil, runsource.ErrLogReplaced
	}
	return b, nil
}
