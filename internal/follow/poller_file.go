package follow

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// initialReadBytes is the size of the first read of a log: a smaller log is retained
	// from its beginning, a larger one from its tail.
	initialReadBytes = 1 << 20
	// tailReadBytes is the size of the first search for the last newline of a large log.
	tailReadBytes = 64 << 10
	// maxReadBytes is the maximum size of one further read.
	maxReadBytes = 4 << 20
)

// fileState is the state of reading a log by ranges. Its checkpoint is the end of the last
// read, including an incomplete line; that line is in rest until its end is read.
type fileState struct {
	checkpoint    runsource.Checkpoint
	rest          []byte
	batcher       *logbatch.Batcher
	headCheckedAt time.Time // when the head was last compared
	// needsVerify requests a comparison of the head with the next read.
	needsVerify bool
	// pendingETag is an ETag that had changed while the size had not.
	pendingETag string
	// missing reports that the last poll found no file.
	missing bool
}

// readFile reads what was appended since the last poll.
func (p *poller) readFile(ctx context.Context) (grown bool, err error) {
	if p.file.batcher == nil {
		return true, p.openFile(ctx)
	}
	before := p.file.checkpoint.Offset
	part, err := p.j.source.read(ctx, p.file.checkpoint.ReadOffset(), maxReadBytes)
	if err != nil {
		return false, err
	}
	err = p.readPart(ctx, part)
	err = errors.Join(err, part.Close())
	grown = p.file.checkpoint.Offset > before
	if errors.Is(err, runsource.ErrLogReplaced) {
		return true, p.restart(ctx, part)
	}
	return grown, err
}

// restart starts over with a replaced log.
func (p *poller) restart(ctx context.Context, part *restclient.FilePart) error {
	reason := LogReplaced
	absent := part.State == restclient.FileShrunk || part.State == restclient.FileAbsent || part.State == restclient.FileUnchanged
	if absent || part.Size >= 0 && part.Size < p.file.checkpoint.Offset {
		reason = LogTruncated
	}
	p.file = fileState{}
	p.j.invalidate(reason)
	return p.openFile(ctx)
}

// readPart reads a part that begins at the tail of what was read before.
func (p *poller) readPart(ctx context.Context, part *restclient.FilePart) error {
	f := &p.file
	switch part.State {
	case restclient.FileWhole:
		return runsource.ErrNotServed
	case restclient.FileShrunk:
		return runsource.ErrLogReplaced
	case restclient.FileAbsent, restclient.FileUnchanged:
		switch {
		case f.checkpoint.Offset == 0:
			p.j.setEnd(true, 0)
			return nil
		case f.missing: // a part that begins at the tail includes at least the tail
			return runsource.ErrLogReplaced
		}
		f.missing = true // 0.7.2 may be moving the folder
		return errUnsettled
	}
	f.missing = false
	if err := p.verifyIdentity(ctx, part); err != nil {
		return err
	}
	if err := p.consume(part, part.Size-f.checkpoint.Offset); err != nil {
		return err
	}
	p.updateEnd(part)
	return nil
}

// verifyIdentity checks that the log is the same. Comparing its head costs a request, which
// is made after errors, and at intervals while the log grows.
func (p *poller) verifyIdentity(ctx context.Context, part *restclient.FilePart) error {
	f := &p.file
	etagChanged, err := f.checkpoint.VerifyTail(part)
	if err != nil {
		return err
	}
	growing := part.Size != f.checkpoint.Offset && time.Since(f.headCheckedAt) >= headRecheckInterval
	if f.checkpoint.ReadOffset() > 0 && (f.needsVerify || etagChanged || growing) {
		if err := f.checkpoint.VerifyHead(ctx, p.j.source.read); err != nil {
			return err
		}
		f.headCheckedAt = time.Now()
	}
	f.needsVerify = false
	return f.checkETag(part, etagChanged)
}

// checkETag decides about an ETag that has changed while the size has not. An append
// changes a file's time just before its size, so this may be such a moment; if the next
// poll sees the same, the log was overwritten.
func (f *fileState) checkETag(part *restclient.FilePart, etagChanged bool) error {
	switch {
	case !etagChanged:
		f.pendingETag = ""
		return nil
	case f.pendingETag == part.ETag:
		return runsource.ErrLogReplaced
	}
	f.pendingETag = part.ETag
	return errUnsettled
}

// consume parses what follows, about the expected number of bytes. If the body is
// truncated, everything before is kept.
func (p *poller) consume(body io.Reader, expected int64) error {
	f := &p.file
	body = io.MultiReader(bytes.NewReader(f.rest), io.TeeReader(body, &f.checkpoint))
	rest, err := runsource.ReadLines(body, expected, f.batcher.AddChunk)
	f.batcher.Flush()
	f.rest = bytes.Clone(rest)
	return err
}

// updateEnd records how far a part reached.
func (p *poller) updateEnd(part *restclient.FilePart) {
	f := &p.file
	atEnd := part.Size < 0 || f.checkpoint.Offset >= part.Size
	if atEnd {
		f.checkpoint.SetEnd(part)
	}
	p.j.setEnd(atEnd, max(part.Size, f.checkpoint.Offset))
}

// openFile reads a log for the first time.
func (p *poller) openFile(ctx context.Context) (err error) {
	part, err := p.j.source.read(ctx, 0, initialReadBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	origin := runsource.FromEventLog
	if p.j.key.textLog {
		origin = runsource.FromLogFile
	}
	switch part.State {
	case restclient.FileWhole:
		return runsource.ErrNotServed
	case restclient.FileRanged:
	default:
		p.openJournal(runsource.Position{Origin: origin}, 0, runsource.Checkpoint{})
		p.j.setEnd(true, 0)
		return nil
	}
	data, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	if part.Size <= int64(len(data)) {
		p.openJournal(runsource.Position{Origin: origin}, part.Size, runsource.Checkpoint{})
		err := p.consume(bytes.NewReader(data), part.Size)
		p.updateEnd(part)
		return err
	}
	return p.openAtTail(ctx, origin, data, part.Size)
}

// openJournal opens the journal at a position, from which the file is read.
func (p *poller) openJournal(at runsource.Position, size int64, c runsource.Checkpoint) {
	p.file = fileState{checkpoint: c, batcher: logbatch.NewBatcher(p.j.key.textLog, at, p.j.append), headCheckedAt: time.Now()}
	p.j.open(at, size)
}

// openAtTail opens a log at its last newline. Everything before is history.
func (p *poller) openAtTail(ctx context.Context, origin runsource.Origin, head []byte, size int64) error {
	first, _, _ := bytes.Cut(head, []byte("\n"))
	for distance := int64(tailReadBytes); ; distance *= 4 {
		from := max(size-distance, 0)
		part, err := p.j.source.read(ctx, from, 0)
		if err != nil {
			return err
		}
		tail, err := io.ReadAll(io.LimitReader(part, distance+maxReadBytes))
		if err = errors.Join(err, part.Close()); err != nil {
			return err
		}
		if part.State != restclient.FileRanged || int64(len(tail)) < min(distance, runsource.CheckpointBytes) {
			return errUnsettled // it has changed since the first read
		}
		end := bytes.LastIndexByte(tail, '\n') + 1
		if end == 0 && distance > eventlog.MaxLine {
			p.openJournal(runsource.Position{Origin: origin}, size, runsource.Checkpoint{})
			return nil // read from its beginning, because only a reader that knows where a line begins can skip it
		}
		if end == 0 {
			continue
		}
		at := runsource.Position{Origin: origin, Offset: from + int64(end), FirstLine: runsource.FingerprintFirstLine(first)}
		if begin := bytes.LastIndexByte(tail[:end-1], '\n'); begin >= 0 {
			at.PrevLine = runsource.FingerprintLine(tail[begin+1 : end-1])
		}
		p.openJournal(at, size, runsource.Checkpoint{
			Offset: from + int64(len(tail)), Head: bytes.Clone(head[:runsource.CheckpointBytes]),
			Tail: bytes.Clone(tail[max(0, len(tail)-runsource.CheckpointBytes):]),
		})
		p.file.rest, p.file.needsVerify = bytes.Clone(tail[end:]), true
		p.updateEnd(part)
		return nil
	}
}

// readLastLine compares the head once more, and adds the bytes after the last newline.
func (p *poller) readLastLine(ctx context.Context) error {
	f := &p.file
	if f.checkpoint.ReadOffset() > 0 {
		if err := f.checkpoint.VerifyHead(ctx, p.j.source.read); err != nil {
			f.needsVerify = true // the next poll finds the same and starts over
			return errUnsettled
		}
	}
	if len(f.rest) == 0 {
		return nil
	}
	complete, err := f.batcher.AddLastLine(f.rest)
	if complete {
		f.rest = nil
	}
	return err
}
