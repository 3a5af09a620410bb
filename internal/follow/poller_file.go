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
	// initialReadBytes is what is asked of a log first: a smaller one is retained from
	// its beginning, of a larger one only what comes.
	initialReadBytes = 1 << 20
	// tailReadBytes is where the last newline of a large log is searched first.
	tailReadBytes = 64 << 10
	// maxReadBytes bounds one read of what is new.
	maxReadBytes = 4 << 20
)

// fileState is how far a poller has read a log by ranges. Its checkpoint is where the last
// read ended, half lines included; those wait in rest for what completes them.
type fileState struct {
	checkpoint    runsource.Checkpoint
	rest          []byte
	batcher       *logbatch.Batcher
	headCheckedAt time.Time // when the head was last compared
	// needsVerify asks for the head to be compared with the next read.
	needsVerify bool
	// pendingETag is an ETag that had changed although the size had not.
	pendingETag string
	// missing says that the last poll found no file.
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

// restart begins with a log that is another one.
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

// readPart reads a part that begins at the tail of what was read.
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
		case f.missing: // a part that begins at the tail has at least the tail
			return runsource.ErrLogReplaced
		}
		f.missing = true // 0.7.2 may be moving the folder at this moment
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

// verifyIdentity compares what is known of the log. Its head costs a request, which
// is made when there was trouble, and now and then while it grows.
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

// checkETag decides about an ETag that has changed although the size has not. An
// append changes the time of a file an instant before its size, so this may be
// such an instant; if the next poll sees the same, the log was written over.
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

// consume takes what follows what was read, about so many bytes. When the body is cut,
// what came before counts.
func (p *poller) consume(body io.Reader, expected int64) error {
	f := &p.file
	body = io.MultiReader(bytes.NewReader(f.rest), io.TeeReader(body, &f.checkpoint))
	rest, err := runsource.ReadLines(body, expected, f.batcher.AddChunk)
	f.batcher.Flush()
	f.rest = bytes.Clone(rest)
	return err
}

// updateEnd notes how far a part went.
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

// openJournal opens the journal at a position, from which the file is read on.
func (p *poller) openJournal(at runsource.Position, size int64, c runsource.Checkpoint) {
	p.file = fileState{checkpoint: c, batcher: logbatch.NewBatcher(p.j.key.textLog, at, p.j.append), headCheckedAt: time.Now()}
	p.j.open(at, size)
}

// openAtTail opens a log at its last newline. What is before that is history.
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
			return errUnsettled // it has changed since the other read
		}
		end := bytes.LastIndexByte(tail, '\n') + 1
		if end == 0 && distance > eventlog.MaxLine {
			p.openJournal(runsource.Position{Origin: origin}, size, runsource.Checkpoint{})
			return nil // it is read from its beginning, since a line without an end is passed over only by who knows where it begins
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

// readLastLine compares the head of the log once more, and takes what stands
// behind its last newline.
func (p *poller) readLastLine(ctx context.Context) error {
	f := &p.file
	if f.checkpoint.ReadOffset() > 0 {
		if err := f.checkpoint.VerifyHead(ctx, p.j.source.read); err != nil {
			f.needsVerify = true // the next poll finds the same, and begins again
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
