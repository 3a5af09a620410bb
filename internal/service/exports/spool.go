package exports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/filestream"
)

// maxMergedExports is how many exports of merged tables a process makes at
// once. Each holds its run's table, about 65 MiB for a million rows of six
// metrics, and a temporary file of the size of the export until the client has
// read it.
const maxMergedExports = 4

// limiter counts the merged exports of the process. Its zero value is
// ready, and it is safe for concurrent use.
type limiter struct{ inUse atomic.Int32 }

// acquire takes a slot, or says that there is none: an export may last as long as
// its client likes, so that waiting for one has no end.
func (l *limiter) acquire() (release func(), err error) {
	if l.inUse.Add(1) > maxMergedExports {
		l.inUse.Add(-1)
		return nil, apierr.OverLimit("merged exports", "%d exports of merged tables are being made or read already; try again later, "+
			"or take the long layout or JSON Lines, which are not bounded", maxMergedExports)
	}
	return func() { l.inUse.Add(-1) }, nil
}

// sendSpooled makes a file in a spool, and sends it when it is complete. The
// schema is that of a wide table, else nil.
func (j *exporter) sendSpooled(ctx context.Context, to fileSink, write func(context.Context, *spool) (*export.Schema, error)) (err error) {
	release, err := j.service.limiter.acquire()
	if err != nil {
		return err
	}
	defer release()
	if kept, ok := to.(*keptSink); ok {
		schema, err := write(ctx, kept.spool)
		if err != nil {
			return err
		}
		kept.Begin(j.header(schema))
		return kept.Finish(j.missing)
	}
	out := &spool{space: j.service.space}
	defer func() { err = errors.Join(err, out.Close()) }()
	schema, err := write(ctx, out)
	if err != nil {
		return err
	}
	header := j.header(schema)
	header.SizeBytes = &out.size
	to.Begin(header)
	if err := out.copyTo(to); err != nil {
		return err
	}
	return to.Finish(j.missing)
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
	if err := s.space.reserve(int64(bytes)); err != nil {
		return err
	}
	s.onFile += int64(bytes)
	return nil
}

func (s *spool) onDisk() bool { return s.file != nil }

// from reads the file from an offset on; several may do so at once.
func (s *spool) from(offset int64) io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes()[offset:])
	}
	return io.NewSectionReader(s.file, offset, s.size-offset)
}

// spill goes on in a file, which is taken off the directory at once where the
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

// reset makes the spool empty.
func (s *spool) reset() error {
	s.memory.Reset()
	s.size = 0
	if s.file == nil {
		return nil
	}
	s.space.release(s.onFile)
	s.onFile = 0
	_, err := s.file.Seek(0, io.SeekStart)
	return errors.Join(err, s.file.Truncate(0))
}

// copyTo reads the file from its beginning.
func (s *spool) copyTo(w io.Writer) error {
	if s.file == nil {
		_, err := w.Write(s.memory.Bytes())
		return err
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read the export again: %w", err)
	}
	n, err := io.CopyBuffer(w, onlyReader{s.file}, make([]byte, filestream.ChunkSize))
	if err == nil && n != s.size {
		err = fmt.Errorf("read the export again: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// onlyReader hides that a file could copy itself, with a buffer of its own.
type onlyReader struct{ io.Reader }

// Close forgets the file.
func (s *spool) Close() error {
	s.space.release(s.onFile)
	s.onFile = 0
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if removeErr := os.Remove(s.file.Name()); !errors.Is(removeErr, fs.ErrNotExist) {
		err = errors.Join(err, removeErr)
	}
	return err
}
