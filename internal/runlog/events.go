package runlog

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/processor"
)

const (
	// firstChunk and fullChunk are how much of the event file is held at once:
	// little for what was appended since, and enough for fast parsing of a long
	// history. A longer line makes it grow up to eventlog.MaxLine.
	firstChunk = 16 << 10
	fullChunk  = 1 << 20
	// maxAttempts bounds the requests of one update: a log may turn out to be
	// another one, and a body that was cut off is resumed where it ended.
	maxAttempts = 4
	// wholeCosts is how many times the cost of reading a whole event file it is
	// believed, where the Viewer, or a proxy before it, ignores ranges.
	wholeCosts = 5
)

// readEvents brings the run up to the end of the event file. What it has read
// of a run stays in u.run when it fails, to be gone on with.
func (u *updater) readEvents(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		before := u.reached()
		err := u.readEventsOnce(ctx)
		switch {
		case err == nil || ctx.Err() != nil || attempt == maxAttempts:
			return err
		case errors.Is(err, errOtherLog):
			u.run = nil
		case u.reached() <= before || isTooLong(err):
			return err // no line further than before: trying again is of no use
		}
	}
}

// reached is how far the event file was read.
func (u *updater) reached() int64 {
	if u.run == nil {
		return 0
	}
	return u.run.mark.next
}

func isTooLong(err error) bool {
	_, ok := errors.AsType[*eventlog.LineTooLongError](err)
	return ok
}

// readEventsOnce makes one request and follows it to its end. The body is closed
// before the run's status is asked for: it may hold one of few connections, for
// which all updates would wait together.
func (u *updater) readEventsOnce(ctx context.Context) error {
	asked, from := u.now(), int64(0)
	if u.run != nil && u.run.view.Origin == FromEventLog {
		from = u.run.mark.from()
	}
	part, err := u.src.ReadEvents(ctx, from, 0)
	if err != nil {
		return err
	}
	rest, err := u.follow(ctx, part)
	if err := errors.Join(err, part.Body.Close()); err != nil {
		return err
	}
	if err := u.finish(ctx, rest); err != nil {
		return err
	}
	u.arrive(part, asked)
	return nil
}

// follow reads a part and returns what stands behind its last newline.
func (u *updater) follow(ctx context.Context, part *Part) (rest []byte, err error) {
	r := u.begin(FromEventLog)
	switch part.State {
	case PartShrunk:
		return nil, errOtherLog
	case PartNotYet, PartUnchanged:
		if r.mark.next > 0 { // a part that begins at the tail has at least the tail
			return nil, errOtherLog
		}
		return nil, nil
	case PartWhole:
		if r.mark.isAtRest(part) && r.mark.next == part.Size {
			return nil, nil
		}
		u.run = newRun(FromEventLog)
	default:
		if err := r.mark.verify(ctx, u.src, part); err != nil {
			return nil, err
		}
	}
	return u.run.feed(processor.TurnOf(ctx), part.Body, part.Size-u.run.mark.next)
}

// arrive shows the run once the end of its file was reached.
func (u *updater) arrive(part *Part, asked time.Time) {
	u.run.mark.arrive(part)
	if part.State == PartWhole {
		u.run.freshUntil = u.now().Add(wholeCosts * u.now().Sub(asked))
	} else {
		u.run.freshUntil = time.Time{}
	}
	u.run.show(asked)
}

// feed puts what comes into the run, chunk by chunk, and returns what stands
// behind the last newline. About so many bytes are expected, fewer than none if
// nobody knows.
func (r *run) feed(turn *processor.Turn, body io.Reader, expected int64) (rest []byte, err error) {
	r.mark.interrupt()
	const some = 512 // room for the end to show, and for what was not expected
	chunk, whole := make([]byte, 0, some+max(0, min(expected, firstChunk))), r.mark.next+expected
	for {
		n, err := fill(body, chunk)
		chunk = chunk[:n]
		taken, takeErr := r.take(turn, chunk, whole)
		switch {
		case takeErr != nil:
			return nil, takeErr
		case err == io.EOF: //nolint:errorlint // a Reader returns io.EOF itself; wrapped it is a body that was cut
			return chunk[taken:], nil
		case err != nil:
			return nil, err
		}
		chunk = room(chunk, chunk[taken:])
	}
}

// fill reads behind what is in chunk until it is full or the body ends.
func fill(body io.Reader, chunk []byte) (int, error) {
	n := len(chunk)
	for n < cap(chunk) {
		more, err := body.Read(chunk[n:cap(chunk)])
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// room is a chunk that begins with rest and has room for more.
func room(chunk, rest []byte) []byte {
	if cap(chunk) >= fullChunk && len(rest) <= cap(chunk)/2 {
		return chunk[:copy(chunk, rest)]
	}
	larger := make([]byte, len(rest), max(min(4*cap(chunk), fullChunk), 2*len(rest)))
	copy(larger, rest)
	return larger
}

// take parses the complete lines of a chunk of a file of about so many bytes,
// and says how many bytes they had.
// The lock is held for the parsing only, never while bytes are awaited.
func (r *run) take(turn *processor.Turn, chunk []byte, whole int64) (taken int, err error) {
	if r.mark.isOpen && len(chunk) > 0 {
		if chunk[0] != '\n' {
			return 0, errOtherLog // the line goes on: it is not what it was taken for
		}
		r.mark.isOpen = false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err = inTurn(turn, len(chunk), func() error {
		taken, err = r.parser.Parse(chunk, r.mark.next, eventlog.Handler{Row: r.put})
		r.mark.advance(chunk[:taken])
		r.view.Table.Expect(r.mark.next, whole)
		if r.isShown {
			r.settle()
		}
		return err
	})
	return taken, err
}

// inTurn does what takes long in its turn: the parsing of a few lines does not.
func inTurn(turn *processor.Turn, bytes int, work func() error) error {
	if bytes < 4*firstChunk {
		return work()
	}
	return turn.Do(work)
}

// finish decides about what stands behind the last newline: it counts if it is
// complete and nothing will follow. A half line costs no question.
func (u *updater) finish(ctx context.Context, rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	r := u.run
	var judge eventlog.Parser
	if isWhole, err := judge.Finish(rest, r.mark.next, eventlog.Handler{}); err != nil || !isWhole {
		return err
	}
	if hasEnded, err := u.src.HasEnded(ctx); err != nil || !hasEnded {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.parser.Finish(rest, r.mark.next, eventlog.Handler{Row: r.put}); err != nil {
		return err
	}
	r.mark.advance(rest)
	r.mark.isOpen = true
	return nil
}
