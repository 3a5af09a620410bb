package runlog

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pumpLines is how many lines of a stream wait for the poller.
const pumpLines = 4096

// pump reads the lines of a text log that no file is served of. The Viewer sends
// such a log from its beginning at every connection, so the lines that were read
// before are counted, and compared as a whole.
type pump struct {
	lines chan string
	errs  chan error // why the last connection ended, errOtherLog included
	count int64
	sum   uint64
	// rested is closed when the lines that the log had have been given.
	rested chan struct{}
	rest   func()
	// isReplayed says that the poller has taken all of these lines.
	isReplayed bool
}

// readStream appends the lines that have come. It does not wait for any.
func (p *poller) readStream(ctx context.Context) (hasGrown bool, err error) {
	if p.pump == nil {
		p.pump = p.j.startPump()
		at := Position{origin: FromLogStream}
		p.file = file{cutter: newCutter(true, at, p.j.append)}
		p.j.open(at, -1)
	}
	hasRested := p.pump.hasRested() // before the lines are taken: then all are there
	p.isReplay = !p.pump.isReplayed
	for n := 0; ; n++ {
		select {
		case line := <-p.pump.lines:
			p.file.cutter.number([]byte(line))
			hasGrown = true
			continue
		case err = <-p.pump.errs:
		case <-ctx.Done():
			err = ctx.Err()
		default:
			p.file.cutter.flush() // before the end is told: who waits for it is placed there
			p.pump.isReplayed = p.pump.isReplayed || hasRested
			p.j.arrive(hasRested && n < pumpLines, -1)
		}
		break
	}
	p.file.cutter.flush()
	if errors.Is(err, errOtherLog) {
		p.pump, p.file = nil, file{}
		p.j.void(LogReplaced)
		return p.readStream(ctx)
	}
	return hasGrown, err
}

// number takes a line of a log whose offsets are the numbers of lines.
func (c *cutter) number(line []byte) {
	c.begin(line)
	c.text(line)
	c.pass(sumLine(line), 1, false)
}

// startPump starts to read the stream. It ends with the journal, or when it finds
// that the log is another one.
func (j *journal) startPump() *pump {
	p := &pump{lines: make(chan string, pumpLines), errs: make(chan error, 1), rested: make(chan struct{})}
	p.rest = sync.OnceFunc(func() {
		close(p.rested)
		j.nudge()
	})
	j.hub.flying.Go(func() {
		for j.ctx.Err() == nil {
			err := p.connect(j)
			select {
			case p.errs <- err:
			case <-j.ctx.Done():
			}
			if errors.Is(err, errOtherLog) {
				return
			}
			j.pause()
		}
	})
	return p
}

// pause waits between two connections.
func (j *journal) pause() {
	timer := time.NewTimer(j.hub.cfg.MaxInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-j.ctx.Done():
	}
}

// connect reads the stream once, up to its end.
func (p *pump) connect(j *journal) error {
	n, sum, known := int64(0), uint64(0), p.sum
	return j.feed.stream.StreamLog(j.ctx, func(line string) error {
		n++
		s := sumLine([]byte(line))
		const prime = 1099511628211 // FNV's: the order of the lines counts
		sum = (sum ^ uint64(s.sum)<<32 ^ uint64(s.size)) * prime
		switch {
		case n < p.count:
			return nil
		case n == p.count:
			if sum != known {
				return errOtherLog
			}
			return nil
		}
		select {
		case p.lines <- line:
		case <-j.ctx.Done():
			return j.ctx.Err()
		}
		p.count, p.sum = n, sum
		if len(p.lines) == 1 {
			j.nudge()
		}
		return nil
	}, p.rest)
}

// hasRested says that the log was given as far as it went.
func (p *pump) hasRested() bool {
	select {
	case <-p.rested:
		return true
	default:
		return false
	}
}

// readLines reads a chunk of a log that is no file.
func (j *journal) readLines(ctx context.Context, c *chunk, at Position, limit int64, emit func(*Batch)) error {
	begin := c.key.index * chunkLines
	end := min(begin+chunkLines, limit)
	var cutter *cutter
	n := int64(0)
	err := j.feed.stream.StreamLog(ctx, func(line string) error {
		switch {
		case n >= end:
			return errEnough
		case n == begin:
			at.offset = n
			cutter = newCutter(true, at, emit)
			fallthrough
		case n > begin:
			cutter.number([]byte(line))
		default:
			at.last = sumLine([]byte(line))
		}
		n++
		if n == end {
			return errEnough
		}
		return nil
	}, func() {})
	if n < end {
		return errors.Join(errShortStream, err)
	}
	cutter.flush()
	c.to = cutter.at.offset
	return nil
}

var (
	// errEnough ends a stream of lines that has served its purpose.
	errEnough = errors.New("enough lines")
	// errShortStream says that a stream of lines ended too early.
	errShortStream = errors.New("the stream of log lines has ended too early")
)
