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

// maxMergedExports is how many exports of merged tables a process makes at
// once. Each holds its run's table, about 65 MiB for a million rows of six
// metrics. Those that are made already and wait for their clients do not count.
const maxMergedExports = 4

// makeMerged makes what an export holds of merged tables, or refuses to: a caller
// that waits for the runs of others cannot say for how long.
func (s *Service) makeMerged(work func() error) error {
	if !s.making.TryAcquire(1) {
		return apierr.OverLimit("merged exports", "%d exports of merged tables are being made already; try again later, "+
			"or take the long layout or JSON Lines, which are not bounded", maxMergedExports)
	}
	defer s.making.Release(1)
	return work()
}

// maxSpooledMemory is how much of a spool is held in memory: what is smaller
// needs no disk.
const maxSpooledMemory = 4 << 20

// spool holds a file while it is made: in memory, and in a temporary file from
// maxSpooledMemory on. It belongs to one goroutine; its owner closes it.
type spool struct {
	space  *tempSpace // what the file takes is counted here; nil if nobody counts
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

// reserve counts what goes to the file.
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

// giveBack releases what was reserved.
func (s *spool) giveBack() {
	if s.space != nil {
		s.space.free.Release(s.onFile)
	}
	s.onFile = 0
}

func (s *spool) onDisk() bool { return s.file != nil }

// from reads the file from an offset on; several may do so at once.
func (s *spool) from(offset int64) io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()[offset:])
	}
	return io.NewSectionReader(s.file, offset, s.size-offset)
}

// spill continues in a file, which is taken off the directory at once where the
// system allows it, so that a killed process leaves nothing behind.
func (s *spool) spill() error {
	if err := s.reserve(s.memory.Len()); err != nil {
		return err
	}
	file, err := os.CreateTemp("", "runicorn-grpc-export-")
	if err != nil {
		return spoolError(err)
	}
	s.file = file
	_ = os.Remove(file.Name()) // Windows keeps open files: Close removes it there
	_, err = s.memory.WriteTo(file)
	s.memory = bytes.Buffer{}
	return spoolError(err)
}

// spoolError is the error of a temporary file that cannot be written, without its
// path.
func spoolError(err error) error {
	if err == nil {
		return nil
	}
	e := apierr.OverLimit("--temp-bytes",
		"this server has no temporary space for an export of this size (--temp-bytes); take the long layout or JSON Lines, which need none")
	e.Cause = err
	return e
}

// tempSpace bounds the temporary files of a process.
type tempSpace struct {
	free *semaphore.Weighted // in bytes
	// makeRoom closes a file that is not needed, if there is one.
	makeRoom func() bool
}

// reserve takes space, or says that there is none.
func (t *tempSpace) reserve(bytes int64) error {
	for !t.free.TryAcquire(bytes) {
		if !t.makeRoom() {
			return spoolError(errTempSpace)
		}
	}
	return nil
}

var errTempSpace = errors.New("the temporary files of all exports are at their limit")

// reset makes the spool empty.
func (s *spool) reset() error {
	s.memory.Reset()
	s.size = 0
	if s.file == nil {
		return nil
	}
	s.giveBack()
	_, err := s.file.Seek(0, io.SeekStart)
	return errors.Join(err, s.file.Truncate(0))
}

// Close forgets the file.
func (s *spool) Close() error {
	s.giveBack()
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removeErr := os.Remove(s.file.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}
