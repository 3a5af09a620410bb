package runlog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

const (
	// openBytes is what is asked of a log first: a smaller one is retained from
	// its beginning, of a larger one only what comes.
	openBytes = 1 << 20
	// seekBytes is where the last newline of a large log is looked for first.
	seekBytes = 64 << 10
	// readBytes bounds one read of what is new.
	readBytes = 4 << 20
)

// file is how far a poller has read a log by ranges. Its mark is where the last
// read ended, half lines included; those wait in rest for what completes them.
type file struct {
	mark   mark
	rest   []byte
	cutter *cutter
	headAt time.Time // when the head was last compared
	// isSuspect asks for the head to be compared with the next read.
	isSuspect bool
	// oddTag is an ETag that had changed although the size had not.
	oddTag string
	// isMissing says that the last look found no file.
	isMissing bool
}

// readFile reads what was appended since the last look.
func (p *poller) readFile(ctx context.Context) (hasGrown bool, err error) {
	if p.file.cutter == nil {
		return true, p.openFile(ctx)
	}
	before := p.file.mark.next
	part, err := p.j.feed.read(ctx, p.file.mark.from(), readBytes)
	if err != nil {
		return false, err
	}
	err = p.follow(ctx, part)
	err = errors.Join(err, part.Body.Close())
	hasGrown = p.file.mark.next > before
	if errors.Is(err, errOtherLog) {
		return true, p.startAgain(ctx, part)
	}
	return hasGrown, err
}

// startAgain begins with a log that is another one.
func (p *poller) startAgain(ctx context.Context, part *Part) error {
	reason := LogReplaced
	isGone := part.State == PartShrunk || part.State == PartNotYet || part.State == PartUnchanged
	if isGone || part.Size >= 0 && part.Size < p.file.mark.next {
		reason = LogTruncated
	}
	p.file = file{}
	p.j.void(reason)
	p.extra++
	return p.openFile(ctx)
}

// follow reads a part that begins at the tail of what was read.
func (p *poller) follow(ctx context.Context, part *Part) error {
	f := &p.file
	switch part.State {
	case PartWhole:
		return ErrNoEvents
	case PartShrunk:
		return errOtherLog
	case PartNotYet, PartUnchanged:
		switch {
		case f.mark.next == 0:
			p.j.arrive(true, 0)
			return nil
		case f.isMissing: // a part that begins at the tail has at least the tail
			return errOtherLog
		}
		f.isMissing = true // 0.7.2 may be moving the folder at this moment
		return errLater
	}
	f.isMissing = false
	if err := p.recognize(ctx, part); err != nil {
		return err
	}
	data, err := io.ReadAll(part.Body)
	if err := p.consume(data); err != nil { // before the other: what came is good
		return err
	}
	if err != nil {
		return err
	}
	p.reach(part)
	return nil
}

// recognize compares what is known of the log. Its head costs a request, which
// is made when there was trouble, and now and then while it grows.
func (p *poller) recognize(ctx context.Context, part *Part) error {
	f := &p.file
	if part.Size >= 0 && part.Size < max(f.mark.next, f.mark.size) {
		return errOtherLog
	}
	if err := compare(part.Body, f.mark.tail); err != nil {
		return err
	}
	isOdd := part.Size == f.mark.size && f.mark.etag != "" && part.ETag != f.mark.etag
	isGrowing := part.Size != f.mark.next && time.Since(f.headAt) >= headAge
	if f.mark.from() > 0 && (f.isSuspect || isOdd || isGrowing) {
		p.extra++
		if err := f.mark.verifyHead(ctx, p.j.feed.read); err != nil {
			return err
		}
		f.headAt = time.Now()
	}
	f.isSuspect = false
	return f.judgeTag(part, isOdd)
}

// judgeTag decides about an ETag that has changed although the size has not. An
// append changes the time of a file an instant before its size, so this may be
// such an instant; if the next look sees the same, the log was written over.
func (f *file) judgeTag(part *Part, isOdd bool) error {
	switch {
	case !isOdd:
		f.oddTag = ""
		return nil
	case f.oddTag == part.ETag:
		return errOtherLog
	}
	f.oddTag = part.ETag
	return errLater
}

// consume takes bytes that follow what was read.
func (p *poller) consume(data []byte) error {
	f := &p.file
	if len(data) == 0 {
		return nil
	}
	f.mark.interrupt()
	f.mark.advance(data)
	if len(f.rest) > 0 {
		data = append(f.rest, data...)
	}
	taken, err := f.cutter.feed(data)
	f.cutter.flush()
	f.rest = bytes.Clone(data[taken:])
	return err
}

// reach notes how far a part went.
func (p *poller) reach(part *Part) {
	f := &p.file
	isAtEnd := part.Size < 0 || f.mark.next >= part.Size
	if isAtEnd {
		f.mark.arrive(part)
	}
	p.j.arrive(isAtEnd, max(part.Size, f.mark.next))
}

// openFile looks at a log for the first time.
func (p *poller) openFile(ctx context.Context) (err error) {
	part, err := p.j.feed.read(ctx, 0, openBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Body.Close()) }()
	origin := FromEventLog
	if p.j.key.isText {
		origin = FromLogFile
	}
	switch part.State {
	case PartWhole:
		return ErrNoEvents
	case PartRanged:
	default:
		p.start(Position{origin: origin}, 0, mark{})
		p.j.arrive(true, 0)
		return nil
	}
	data, err := io.ReadAll(part.Body)
	if err != nil {
		return err
	}
	if part.Size <= int64(len(data)) {
		p.start(Position{origin: origin}, part.Size, mark{})
		err := p.consume(data)
		p.reach(part)
		return err
	}
	p.extra++
	return p.openLarge(ctx, origin, data, part.Size)
}

// start opens the journal at a place, from which the file is read on.
func (p *poller) start(at Position, size int64, m mark) {
	p.file = file{mark: m, cutter: newCutter(p.j.key.isText, at, p.j.append), headAt: time.Now()}
	p.j.open(at, size)
}

// openLarge opens a log at its last newline. What is before that is history.
func (p *poller) openLarge(ctx context.Context, origin Origin, head []byte, size int64) error {
	first := head[:min(len(head), firstBytes)]
	if n := bytes.IndexByte(first, '\n'); n >= 0 {
		first = first[:n]
	}
	for back := int64(seekBytes); ; back *= 4 {
		from := max(size-back, 0)
		part, err := p.j.feed.read(ctx, from, 0)
		if err != nil {
			return err
		}
		tail, err := io.ReadAll(io.LimitReader(part.Body, back+readBytes))
		if err = errors.Join(err, part.Body.Close()); err != nil {
			return err
		}
		if part.State != PartRanged || int64(len(tail)) < min(back, markBytes) {
			return errLater // it has changed since the other read
		}
		end := bytes.LastIndexByte(tail, '\n') + 1
		if end == 0 && back > eventlog.MaxLine {
			return &eventlog.LineTooLongError{Offset: from}
		}
		if end == 0 {
			continue
		}
		at := Position{origin: origin, offset: from + int64(end), first: sumLine(first)}
		if begin := bytes.LastIndexByte(tail[:end-1], '\n'); begin >= 0 {
			at.last = sumLine(tail[begin+1 : end-1])
		}
		p.start(at, size, mark{
			next: from + int64(len(tail)), head: bytes.Clone(head[:markBytes]),
			tail: bytes.Clone(tail[max(0, len(tail)-markBytes):]),
		})
		p.file.rest, p.file.isSuspect = bytes.Clone(tail[end:]), true
		p.reach(part)
		return nil
	}
}

// readLastLine compares the head of the log once more, and takes what stands
// behind its last newline.
func (p *poller) readLastLine(ctx context.Context) error {
	f := &p.file
	if f.mark.from() > 0 {
		if err := f.mark.verifyHead(ctx, p.j.feed.read); err != nil {
			f.isSuspect = true // the next look finds the same, and begins again
			return errLater
		}
	}
	if len(f.rest) == 0 {
		return nil
	}
	counts, err := f.cutter.finish(f.rest)
	if counts {
		f.rest = nil
	}
	return err
}
