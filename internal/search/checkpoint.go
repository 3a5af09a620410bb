package search

import (
	"context"
	"errors"
	"hash/crc64"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// hashedCheckpoint is a runsource.Checkpoint with checksums instead of the bytes of head and
// tail, to save memory: the index has one for every run.
type hashedCheckpoint struct {
	offset           int64
	head, tail       uint64 // checksums of the first and the last bytes up to offset
	headLen, tailLen uint16
	unterminated     bool
	size             int64  // of the file when its end was reached
	etag             uint64 // checksum of its ETag; 0 if it had none
}

var crcTable = crc64.MakeTable(crc64.ECMA)

func checksum(b []byte) uint64 { return crc64.Checksum(b, crcTable) }

// hashCheckpoint converts a checkpoint. The read continued from known, which has the head if
// the checkpoint does not.
func hashCheckpoint(c *runsource.Checkpoint, known hashedCheckpoint) hashedCheckpoint {
	m := hashedCheckpoint{
		offset: c.Offset, tail: checksum(c.Tail), tailLen: uint16(len(c.Tail)), unterminated: c.Unterminated, size: c.Size, //nolint:gosec // at most CheckpointBytes
		head: known.head, headLen: known.headLen,
	}
	if m.headLen < runsource.CheckpointBytes {
		m.head, m.headLen = checksum(c.Head), uint16(len(c.Head)) //nolint:gosec // likewise
	}
	if c.ETag != "" {
		m.etag = checksum([]byte(c.ETag))
	}
	return m
}

// readOffset is where the next read starts: at the tail, which is compared.
func (m *hashedCheckpoint) readOffset() int64 { return m.offset - int64(m.tailLen) }

// isUnchanged reports whether the file is the same as when its end was last reached.
func (m *hashedCheckpoint) isUnchanged(part *restclient.FilePart) bool {
	return m.etag != 0 && part.ETag != "" && checksum([]byte(part.ETag)) == m.etag && part.Size == m.size
}

// resume reads and compares the tail, at which the part starts, and returns the checkpoint to
// continue from. It returns runsource.ErrLogReplaced if the log was replaced.
func (m *hashedCheckpoint) resume(part *restclient.FilePart) (*runsource.Checkpoint, error) {
	etagChanged := m.etag != 0 && part.ETag != "" && checksum([]byte(part.ETag)) != m.etag
	if part.Size >= 0 && (part.Size < max(m.offset, m.size) || part.Size == m.size && etagChanged) {
		return nil, runsource.ErrLogReplaced
	}
	tail, err := readVerified(part, int(m.tailLen), m.tail)
	if err != nil {
		return nil, err
	}
	c := &runsource.Checkpoint{Offset: m.offset, Tail: tail, Unterminated: m.unterminated}
	if m.headLen < runsource.CheckpointBytes {
		c.Head = append([]byte(nil), tail...) // the tail is everything that was read
	}
	return c, nil
}

// verifyHead compares the first bytes of the log.
func (m *hashedCheckpoint) verifyHead(ctx context.Context, src runsource.Source) (err error) {
	if m.readOffset() == 0 {
		return nil // the tail includes the head
	}
	part, err := src.ReadEvents(ctx, 0, int64(m.headLen))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	if part.State != restclient.FileRanged && part.State != restclient.FileWhole {
		return runsource.ErrLogReplaced
	}
	_, err = readVerified(part, int(m.headLen), m.head)
	return err
}

// readVerified reads n bytes, whose checksum must be want.
func readVerified(r io.Reader, n int, want uint64) ([]byte, error) {
	b := make([]byte, n)
	switch _, err := io.ReadFull(r, b); {
	case err == io.EOF || err == io.ErrUnexpectedEOF: // not wrapped: returned by ReadFull itself; a truncated body has a wrapped error
		return nil, runsource.ErrLogReplaced
	case err != nil:
		return nil, err
	case checksum(b) != want:
		return nil, runsource.ErrLogReplaced
	}
	return b, nil
}
