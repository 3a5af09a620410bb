package search

import (
	"context"
	"errors"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// headCheckInterval is how long the head of a growing log is trusted without
// comparing it, which costs one more request.
const headCheckInterval = time.Minute

// runReader reads one run by itself.
type runReader struct {
	run   Run
	old   *Record // what is known of it, nil if nothing
	src   runsource.Run
	cache *runcache.Cache
	gate  *cpugate.Gate
	names func(string) string
	now   func() time.Time
	// parsed says that the caller goes on to read the points of the run: of a log that was
	// never read the cache of parsed runs gets them in the same read.
	parsed bool
	// record is what is known so far, and what the caller gets.
	record Record
}

// read brings parts of a run up to date.
func (r *runReader) read(ctx context.Context, parts Parts) (*Record, error) {
	moved := r.old != nil && r.old.identity != r.run.identity()
	if parts&PartMetrics != 0 {
		r.carry()
		if err := r.readMetrics(ctx, moved); err != nil {
			return nil, err
		}
	} else {
		r.begin()
	}
	for _, part := range []struct {
		part Parts
		read func(context.Context) error
	}{{PartTimes, r.readTimes}, {PartSummary, r.readSummary}, {PartConfig, r.readConfig}} {
		if parts&part.part == 0 {
			continue
		}
		at := r.now()
		if err := part.read(ctx); err != nil {
			return nil, err
		}
		r.record.setRead(part.part, at)
	}
	r.setEnded()
	return &r.record, nil
}

// carry starts from what is known.
func (r *runReader) carry() {
	if r.old != nil {
		r.record = *r.old
	}
	r.record.identity, r.record.listed = r.run.identity(), r.run.fingerprint()
}

// begin starts from what is known, unless that may be about another run.
func (r *runReader) begin() {
	r.carry()
	if r.old != nil && r.old.identity != r.run.identity() {
		r.forget()
	}
}

// logSize asks how large the log is.
func (r *runReader) logSize(ctx context.Context) (int64, error) {
	part, err := r.src.ReadEvents(ctx, 0, 1)
	if err != nil {
		return 0, err
	}
	return max(part.Size, 0), part.Close()
}

// setEnded says whether the run has ended: by its status file, which is read with the times,
// and by the list.
func (r *runReader) setEnded() {
	r.record.ended = runsource.IsTerminal(r.run.Listed.Status) && !r.record.Running
}

// readMetrics reads what was appended to the log, or all of it.
func (r *runReader) readMetrics(ctx context.Context, moved bool) error {
	at := r.now()
	if r.record.unordered {
		return r.readCached(ctx)
	}
	if r.parsed && r.record.mark.offset == 0 {
		if err := r.readParsed(ctx, at); !errors.Is(err, errNotHeld) {
			return err
		}
	}
	err := r.readLog(ctx, moved)
	if errors.Is(err, runsource.ErrLogReplaced) {
		r.forget()
		err = r.readLog(ctx, false)
	}
	switch {
	case errors.Is(err, errUnordered):
		return r.readCached(ctx)
	case errors.Is(err, runsource.ErrNotServed):
		err = r.readTable(ctx)
	}
	if err == nil {
		r.record.setRead(PartMetrics, at)
	}
	return err
}

// forget forgets all that may be about another log.
func (r *runReader) forget() {
	r.record = Record{identity: r.run.identity(), listed: r.run.fingerprint()}
}

// readLog reads the event file from where it was read to.
func (r *runReader) readLog(ctx context.Context, moved bool) error {
	known := r.record.mark
	part, err := r.src.ReadEvents(ctx, known.readOffset(), 0)
	if err != nil {
		return err
	}
	next, rest, d, err := r.readPart(ctx, part)
	if err := errors.Join(err, part.Close()); err != nil || next == nil {
		return err
	}
	grown := next.Offset > known.offset || len(rest) > 0
	if known.offset > 0 && (moved || grown && r.now().Sub(time.Unix(0, r.record.headChecked)) > headCheckInterval) {
		if err := known.verifyHead(ctx, r.src); err != nil {
			return err
		}
		r.record.headChecked = r.now().UnixNano()
	}
	if err := r.finish(ctx, next, rest, d); err != nil {
		return err
	}
	if known.offset == 0 {
		r.record.headChecked = r.now().UnixNano()
	}
	next.SetEnd(part)
	r.record.mark = markOf(next, known)
	return nil
}

// readPart reads a part of the log. It returns no checkpoint if there is nothing new.
func (r *runReader) readPart(ctx context.Context, part *restclient.FilePart) (next *runsource.Checkpoint, rest []byte, d *digest, err error) {
	known := &r.record.mark
	next = &runsource.Checkpoint{}
	switch part.State {
	case restclient.FileAbsent, restclient.FileShrunk, restclient.FileUnchanged:
		if known.offset > 0 { // a part that begins at the tail has at least the tail
			return nil, nil, nil, runsource.ErrLogReplaced
		}
		r.record.Origin, r.record.Metrics, r.record.images = runsource.FromEventLog, nil, nil
		return nil, nil, nil, nil
	case restclient.FileWhole:
		if known.isUnchanged(part) && known.offset == part.Size {
			return nil, nil, nil, nil
		}
		r.forget()
	default:
		if next, err = known.resume(part); err != nil {
			return nil, nil, nil, err
		}
	}
	d = newDigest(r.record.Metrics, r.record.images, r.names)
	rest, err = r.parse(ctx, part, part.Size-next.Offset, next, d)
	return next, rest, d, err
}

// lineSource is a body of lines: a part of a file, or an entry of an archive.
type lineSource interface{ Read(b []byte) (int, error) }

// parse sums up the lines of a body.
func (r *runReader) parse(ctx context.Context, body lineSource, expected int64, next *runsource.Checkpoint, d *digest) (rest []byte, err error) {
	var parser eventlog.Parser
	return runsource.ReadLines(body, expected, func(chunk []byte) (consumed int, err error) {
		if next.Unterminated && len(chunk) > 0 {
			if chunk[0] != '\n' {
				return 0, runsource.ErrLogReplaced // the line continues: it is not what it was taken for
			}
			next.Unterminated = false
		}
		err = runsource.Compute(ctx, r.gate, len(chunk), func() error {
			consumed, err = parser.Parse(chunk, next.Offset, d.handler())
			return err
		})
		next.Advance(chunk[:consumed])
		return consumed, err
	})
}

// finish decides about what stands behind the last newline, and publishes the sums.
func (r *runReader) finish(ctx context.Context, next *runsource.Checkpoint, rest []byte, d *digest) error {
	counts, err := runsource.LastLineCounts(ctx, r.src, rest, next.Offset)
	if err != nil {
		return err
	}
	if counts {
		var parser eventlog.Parser
		if _, err := parser.Finish(rest, next.Offset, d.handler()); err != nil {
			return err
		}
		next.Advance(rest)
		next.Unterminated = true
	}
	r.record.Origin, r.record.Metrics, r.record.images = runsource.FromEventLog, d.metrics(), d.images.byKey
	return nil
}

// readCached sums up a run whose steps are not in order, as the cache of parsed runs has it.
func (r *runReader) readCached(ctx context.Context) error {
	err := r.cache.Read(ctx, r.src.Key, r.src, r.sumUp)
	if err == nil {
		r.record.unordered, r.record.mark = true, mark{}
	}
	return err
}

// errNotHeld says that the cache of parsed runs does not have the run as it is now.
var errNotHeld = errors.New("the run is not held")

// readParsed reads a run into the cache of parsed runs and sums it up there. A run that is
// too large has no table there, and a table that cost its Viewer much may be an older one.
func (r *runReader) readParsed(ctx context.Context, now time.Time) error {
	return r.cache.ReadAny(ctx, r.src.Key, r.src, func(v *runcache.View) error {
		if v.Table == nil || v.ReadTime.Before(now) {
			return errNotHeld
		}
		return r.sumUp(v)
	})
}

// sumUp takes what the cache of parsed runs has.
func (r *runReader) sumUp(v *runcache.View) (err error) {
	r.record.Origin, r.record.images = v.Origin, imagesOf(v.Images, r.names)
	r.record.mark, r.record.headChecked = markOf(&v.Checkpoint, mark{}), r.now().UnixNano()
	r.record.setRead(PartMetrics, v.ReadTime)
	r.record.Metrics, err = ofTable(v.Table, v.Origin == runsource.FromMergedTable, r.names)
	return err
}

// readTable sums up the merged table, which comes by ascending steps.
func (r *runReader) readTable(ctx context.Context) error {
	d := newDigest(nil, nil, r.names)
	indeterminate := map[string]int{}
	_, err := r.src.ReadTable(ctx, d.add, func(name string, n int) { indeterminate[name] += n })
	if err != nil {
		return err
	}
	r.record.Origin, r.record.Metrics, r.record.mark = runsource.FromMergedTable, d.metrics(), mark{}
	for i := range r.record.Metrics {
		r.record.Metrics[i].nonFinite = int64(indeterminate[r.record.Metrics[i].Name])
	}
	return nil
}
