package follow

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// lineReaderBuffer is the number of lines of a stream that may wait for the poller.
const lineReaderBuffer = 4096

// lineReader reads the lines of a text log of which no file is served. The Viewer sends
// such a log from its beginning on every connection, so the lines already read are counted,
// and compared by a hash.
type lineReader struct {
	lines chan string
	errs  chan error // why the last connection ended, including ErrLogReplaced
	count int64
	sum   uint64
	// replayDone reports that all lines that existed at the connection were sent.
	replayDone atomic.Bool
	// replayed reports that the poller has taken all of these lines.
	replayed bool
}

// readStream appends the lines received so far. It does not wait.
func (p *poller) readStream(ctx context.Context) (grown bool, err error) {
	if p.lineReader == nil {
		p.lineReader = p.j.startLineReader()
		at := runsource.Position{Origin: runsource.FromLogStream}
		p.file = fileState{batcher: logbatch.NewBatcher(true, at, p.j.append)}
		p.j.open(at, -1)
	}
	replayDone := p.lineReader.replayDone.Load() // before the lines are taken, so that all of them are there
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
			p.file.batcher.Flush() // before the end is set, so that cursors that wait for it are positioned there
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

// startLineReader starts to read the stream. The reader ends with the journal, or when it
// finds that the log was replaced.
func (j *journal) startLineReader() *lineReader {
	r := &lineReader{lines: make(chan string, lineReaderBuffer), errs: make(chan error, 1)}
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

// connect reads the stream once, to its end.
func (r *lineReader) connect(j *journal) error {
	n, sum, known := int64(0), uint64(0), r.sum
	return j.source.stream.StreamLog(j.ctx, func(line string) error {
		n++
		s := runsource.FingerprintLine([]byte(line))
		const prime = 1099511628211 // FNV prime: the hash depends on the order of lines
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
			j.requestPoll(false)
		}
		return nil
	}, func() {
		if r.replayDone.CompareAndSwap(false, true) {
			j.requestPoll(false)
		}
	})
}

// readLines reads a chunk of a log stream.
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
	// errStop ends a stream of lines that is no longer needed.
	errStop = errors.New("enough lines")
	// errStreamTooShort reports that a stream of lines ended too early.
	errStreamTooShort = errors.New("the stream of log lines has ended too early")
)
