package follow

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// lineReaderBuffer is how many lines of a stream wait for the poller.
const lineReaderBuffer = 4096

// lineReader reads the lines of a text log that no file is served of. The Viewer sends
// such a log from its beginning at every connection, so the lines that were read
// before are counted, and compared as a whole.
type lineReader struct {
	lines chan string
	errs  chan error // why the last connection ended, ErrLogReplaced included
	count int64
	sum   uint64
	// replayDone is closed when the lines that the log had have been given.
	replayDone     chan struct{}
	markReplayDone func()
	// replayed says that the poller has taken all of these lines.
	replayed bool
}

// readStream appends the lines that have come. It does not wait for any.
func (p *poller) readStream(ctx context.Context) (grown bool, err error) {
	if p.lineReader == nil {
		p.lineReader = p.j.startLineReader()
		at := runsource.Position{Origin: runsource.FromLogStream}
		p.file = fileState{batcher: logbatch.NewBatcher(true, at, p.j.append)}
		p.j.open(at, -1)
	}
	replayDone := p.lineReader.isReplayDone() // before the lines are taken: then all are there
	p.replaying = !p.lineReader.replayed
	for n := 0; ; n++ {
		select {
		case line := <-p.lineReader.lines:
			p.file.batcher.AddNumberedLine([]byte(line))
			grown = true
			continue
		case err = <-p.lineReader.errs:
		case <-ctx.Done():
			err = ctx.Err()
		default:
			p.file.batcher.Flush() // before the end is told: who waits for it is positioned there
			p.lineReader.replayed = p.lineReader.replayed || replayDone
			p.j.setEnd(replayDone && n < lineReaderBuffer, -1)
		}
		break
	}
	p.file.batcher.Flush()
	if errors.Is(err, runsource.ErrLogReplaced) {
		p.lineReader, p.file = nil, fileState{}
		p.j.invalidate(LogReplaced)
		return p.readStream(ctx)
	}
	return grown, err
}

// startLineReader starts to read the stream. It ends with the journal, or when it finds
// that the log is another one.
func (j *journal) startLineReader() *lineReader {
	r := &lineReader{lines: make(chan string, lineReaderBuffer), errs: make(chan error, 1), replayDone: make(chan struct{})}
	r.markReplayDone = sync.OnceFunc(func() {
		close(r.replayDone)
		j.requestPoll()
	})
	j.hub.inFlight.Go(func() {
		for j.ctx.Err() == nil {
			err := r.connect(j)
			select {
			case r.errs <- err:
			case <-j.ctx.Done():
			}
			if errors.Is(err, runsource.ErrLogReplaced) {
				return
			}
			j.waitReconnect()
		}
	})
	return r
}

// waitReconnect waits between two connections.
func (j *journal) waitReconnect() {
	timer := time.NewTimer(j.hub.cfg.MaxInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.ctx.Done():
	}
}

// connect reads the stream once, up to its end.
func (r *lineReader) connect(j *journal) error {
	n, sum, known := int64(0), uint64(0), r.sum
	return j.source.stream.StreamLog(j.ctx, func(line string) error {
		n++
		s := runsource.FingerprintLine([]byte(line))
		const prime = 1099511628211 // FNV's: the order of the lines counts
		sum = (sum ^ uint64(s.CRC)<<32 ^ uint64(s.Size)) * prime
		switch {
		case n < r.count:
			return nil
		case n == r.count:
			if sum != known {
				return runsource.ErrLogReplaced
			}
			return nil
		}
		select {
		case r.lines <- line:
		case <-j.ctx.Done():
			return j.ctx.Err()
		}
		r.count, r.sum = n, sum
		if len(r.lines) == 1 {
			j.requestPoll()
		}
		return nil
	}, r.markReplayDone)
}

// isReplayDone says that the log was given as far as it went.
func (r *lineReader) isReplayDone() bool {
	select {
	case <-r.replayDone:
		return true
	default:
		return false
	}
}

// readLines reads a chunk of a log that is no file.
func (j *journal) readLines(ctx context.Context, c *chunk, batcher *logbatch.Batcher, limit int64) error {
	begin := c.key.index * chunkLines
	end := min(begin+chunkLines, limit)
	var prevLine runsource.LineFingerprint
	n := int64(0)
	err := j.source.stream.StreamLog(ctx, func(line string) error {
		switch {
		case n >= end:
			return errStop
		case n == begin:
			batcher.Start(n, prevLine)
			fallthrough
		case n > begin:
			batcher.AddNumberedLine([]byte(line))
		default:
			prevLine = runsource.FingerprintLine([]byte(line))
		}
		n++
		if n == end {
			return errStop
		}
		return nil
	}, func() {})
	if n < end {
		return errors.Join(errStreamTooShort, err)
	}
	batcher.Flush()
	c.to = batcher.At.Offset
	return nil
}

var (
	// errStop ends a stream of lines that has served its purpose.
	errStop = errors.New("enough lines")
	// errStreamTooShort says that a stream of lines ended too early.
	errStreamTooShort = errors.New("the stream of log lines has ended too early")
)
