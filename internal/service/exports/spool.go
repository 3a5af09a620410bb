package exports

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sync/semaphore"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// maxMergedExports is the maximum number of exports of merged tables that are made at the
// same time. Each holds its run's table, about 65 MiB for a million rows of six metrics.
// Finished ones that wait for their clients are not included.
const maxMergedExports = 4

// makeMerged runs work, or refuses it at the limit: how long a caller would have to wait
// for others is unknown.
func (s *Service) makeMerged(work func() error) error {
	if !s.making.TryAcquire(1) {
		return apierr.OverLimit("merged exports", "%d exports of merged tables are already being made; try again later, "+
			"or use the long layout or JSON Lines, which are not limited", maxMergedExports)
	}
	defer s.making.Release(1)
	return work()
}

// maxSpooledMemory is how many bytes of a spool are held in memory; a larger one
// continues on disk.
const maxSpooledMemory = 4 << 20

// spool holds a file while it is made: in memory, and from maxSpooledMemory on in a
// temporary file. It belongs to one goroutine; its owner closes it.
type spool struct {
	space  *tempSpace // accounts for the temporary file; nil if not limited
	memory bytes.Buffer
	file   *os.File
	size   int64
	onFile int64 // what was reserved of space
}

// Write adds to the file.
func (s *spool) Write(b []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(b) > maxSpooledMemory {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	s.size += int64(len(b))
	if s.file == nil {
		return s.memory.Write(b)
	}
	if err := s.reserve(len(b)); err != nil {
		return 0, err
	}
	n, err := s.file.Write(b)
	return n, spoolError(err)
}

// reserve reserves space for bytes of the temporary file.
func (s *spool) reserve(bytes int) error {
	if s.space == nil {
		return nil
	}
	if err := s.space.reserve(int64(bytes)); err != nil {
		return err
	}
	s.onFile += int64(bytes)
	return nil
}

func (s *spool) releaseSpace() {
	if s.space != nil {
		s.space.free.Release(s.onFile)
	}
	s.onFile = 0
}

func (s *spool) onDisk() bool { return s.file != nil }

// from returns a reader of the file from an offset on. Several may be used concurrently.
func (s *spool) from(offset int64) io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()[offset:])
	}
	return io.NewSectionReader(s.file, offset, s.size-offset)
}

// spill continues in a temporary file. The file is unlinked immediately if the system
// allows it, so that a killed process leaves nothing behind.
func (s *spool) spill() error {
	if err := s.reserve(s.memory.Len()); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "runicorn-grpc-export-")
	if err != nil {
		return spoolError(err)
	}
	s.file = file
	_ = os.Remove(file.Name()) // Windows refuses this for an open file; there Close removes it
	_, err = s.memory.WriteTo(file)
	s.memory = bytes.Buffer{}
	return spoolError(err)
}

// spoolError is the error for a temporary file that cannot be written. It does not have
// the path.
func spoolError(err error) error {
	if err == nil {
		return nil
	}
	e := apierr.OverLimit("--temp-bytes",
		"this server has no temporary space for an export of this size (--temp-bytes); use the long layout or JSON Lines, which need none")
	e.Cause = err
	return e
}

// tempSpace limits the total size of the temporary files of the process.
type tempSpace struct {
	free *semaphore.Weighted // in bytes
	// freeSpace drops a file that is not in use, and reports whether there was one.
	freeSpace func() bool
}

// reserve reserves space, and fails if there is none.
func (t *tempSpace) reserve(bytes int64) error {
	for !t.free.TryAcquire(bytes) {
		if !t.freeSpace() {
			return spoolError(errTempSpace)
		}
	}
	return nil
}

var errTempSpace = errors.New("the temporary files of all exports are at their limit")

// reset empties the spool.
func (s *spool) reset() error {
	s.memory.Reset()
	s.size = 0
	if s.file == nil {
		return nil
	}
	s.releaseSpace()
	_, err := s.file.Seek(0, io.SeekStart)
	return errors.Join(err, s.file.Truncate(0))
}

// Close removes the file.
func (s *spool) Close() error {
	s.releaseSpace()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removeErr := os.Remove(s.file.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}
