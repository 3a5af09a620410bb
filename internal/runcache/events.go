package runcache

import (
	"context"
	"errors"
	"io"
	"math"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// maxAttempts limits the requests of one update: a log may turn out to be replaced, and
	// a truncated body is resumed.
	maxAttempts = 4
	// wholeFileCostFactor times the cost of reading a whole event file is how long it is
	// valid, if the Viewer or a proxy ignores ranges.
	wholeFileCostFactor = 5
)

// readEvents updates the run to the end of the event file. If it fails, the part already
// read stays in u.run, to be continued.
func (u *updater) readEvents(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		before := u.consumedOffset()
		err := u.readEventsOnce(ctx)
		switch {
		case err == nil || ctx.Err() != nil || attempt == maxAttempts:
			return err
		case errors.Is(err, runsource.ErrLogReplaced):
			u.run = nil
		case errors.Is(err, errRewritten):
			u.run, u.maxBytes = nil, math.MaxInt64 // all of it is needed now
		case u.consumedOffset() <= before:
			return err // no progress: another attempt is useless
		}
	}
}

// consumedOffset returns how far the event file was read.
func (u *updater) consumedOffset() int64 {
	if u.run == nil {
		return 0
	}
	return u.run.checkpoint.Offset
}

// readEventsOnce makes one request and reads it to the end. It closes the body before it
// reads the run's status: the body may hold one of few connections, for which all updates
// would then wait.
func (u *updater) readEventsOnce(ctx context.Context) error {
	start, from := u.now(), int64(0)
	if u.run != nil && u.run.view.Origin == runsource.FromEventLog {
		from = u.run.checkpoint.ReadOffset()
	}
	part, err := u.src.ReadEvents(ctx, from, 0)
	if err != nil {
		return err
	}
	rest, err := u.readPart(ctx, part)
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	if err := u.addLastLine(ctx, rest); err != nil {
		return err
	}
	u.complete(part, start)
	return nil
}

// readPart reads a part and returns the bytes after its last newline.
func (u *updater) readPart(ctx context.Context, part *restclient.FilePart) (rest []byte, err error) {
	if u.run == nil || u.run.view.Origin != runsource.FromEventLog {
		u.run = newRun(runsource.FromEventLog)
	}
	r := u.run
	switch part.State {
	case restclient.FileShrunk:
		return nil, runsource.ErrLogReplaced
	case restclient.FileAbsent, restclient.FileUnchanged:
		if r.checkpoint.Offset > 0 { // a part that begins at the tail includes at least the tail
			return nil, runsource.ErrLogReplaced
		}
		return nil, nil
	case restclient.FileWhole:
		if r.checkpoint.IsUnchanged(part) && r.checkpoint.Offset == part.Size {
			return nil, nil
		}
		u.run = newRun(runsource.FromEventLog)
	default:
		if err := r.checkpoint.Verify(ctx, u.src, part); err != nil {
			return nil, err
		}
	}
	return u.parseBody(ctx, part, part.Size-u.run.checkpoint.Offset)
}

// complete publishes the run after the end of its file was reached.
func (u *updater) complete(part *restclient.FilePart, start time.Time) {
	u.run.checkpoint.SetEnd(part)
	if part.State == restclient.FileWhole {
		u.run.freshUntil = u.now().Add(wholeFileCostFactor * u.now().Sub(start))
	} else {
		u.run.freshUntil = time.Time{}
	}
	u.run.publish(start, u.maxFinal)
}

// parseBody parses body into the run and returns the bytes after the last newline. expected
// is the approximate length of body, negative if unknown.
func (u *updater) parseBody(ctx context.Context, body io.Reader, expected int64) (rest []byte, err error) {
	r := u.run
	r.checkpoint.InvalidateEnd()
	totalSize := r.checkpoint.Offset + expected
	return runsource.ReadLines(body, expected, func(chunk []byte) (int, error) {
		return u.parseLines(ctx, chunk, totalSize)
	})
}

// parseLines parses the complete lines of a chunk and returns their length. totalSize is
// the approximate size of the file. It holds the lock only while parsing, never while
// reading.
func (u *updater) parseLines(ctx context.Context, chunk []byte, totalSize int64) (consumed int, err error) {
	r := u.run
	if r.checkpoint.Unterminated && len(chunk) > 0 {
		if chunk[0] != '\n' {
			return 0, runsource.ErrLogReplaced // the line continues, so it is not the line that was read before
		}
		r.checkpoint.Unterminated = false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err = runsource.Compute(ctx, u.gate, len(chunk), func() error {
		consumed, err = r.parser.Parse(chunk, r.checkpoint.Offset, r.handler())
		r.checkpoint.Advance(chunk[:consumed])
		if r.view.Digest == nil {
			r.view.Table.ExpectSize(r.checkpoint.Offset, totalSize)
		}
		r.fold(u.maxBytes)
		if r.published {
			r.refreshView()
		}
		return err
	})
	return consumed, err
}

// addLastLine handles the bytes after the last newline.
func (u *updater) addLastLine(ctx context.Context, rest []byte) error {
	r := u.run
	if counts, err := runsource.LastLineCounts(ctx, u.src, rest, r.checkpoint.Offset); err != nil || !counts {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.parser.Finish(rest, r.checkpoint.Offset, r.handler()); err != nil {
		return err
	}
	r.checkpoint.Advance(rest)
	r.checkpoint.Unterminated = true
	return nil
}
