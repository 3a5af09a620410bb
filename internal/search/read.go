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

// headCheckInterval is how long the head of a growing log is trusted without comparing it,
// which costs an additional request.
const headCheckInterval = time.Minute

// runReader reads one run.
type runReader struct {
	run   Run
	old   *Record // the previous record; nil if there is none
	src   runsource.Run
	cache *runcache.Cache
	gate  *cpugate.Gate
	names func(string) string
	now   func() time.Time
	// parsed means that the caller reads the points of the run next. If the log was never
	// read, it is read into the cache of parsed runs, so that this needs no second read.
	parsed bool
	// record is the result, complete after the read.
	record Record
}

// read returns a record in which the given parts are current.
func (r *runReader) read(ctx context.Context, parts Parts) (*Record, error) {
	moved := r.old != nil && r.old.identity != r.run.identity()
	if parts&PartMetrics != 0 {
		r.copyOld()
		if err := r.readMetrics(ctx, moved); err != nil {
			return nil, err
		}
	} else {
		r.copyIfSame()
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

// copyOld copies the previous record.
func (r *runReader) copyOld() {
	if r.old != nil {
		r.record = *r.old
	}
	r.record.identity, r.record.listed = r.run.identity(), r.run.fingerprint()
}

// copyIfSame copies the previous record, unless it may be of another log.
func (r *runReader) copyIfSame() {
	r.copyOld()
	if r.old != nil && r.old.identity != r.run.identity() {
		r.reset()
	}
}

// logSize returns the size of the log, in bytes.
func (r *runReader) logSize(ctx context.Context) (int64, error) {
	part, err := r.src.ReadEvents(ctx, 0, 1)
	if err != nil {
		return 0, err
	}
	return max(part.Size, 0), part.Close()
}

// setEnded derives from the list and the status file, which is read with the times, whether
// the run has ended.
func (r *runReader) setEnded() {
	r.record.ended = runsource.IsTerminal(r.run.Listed.Status) && !r.record.Running
}

// readMetrics reads what was appended to the log, or all of it. If moved is true, the log may
// be another one.
func (r *runReader) readMetrics(ctx context.Context, moved bool) error {
	at := r.now()
	if r.record.unordered {
		return r.readCached(ctx)
	}
	if r.parsed && r.record.checkpoint.offset == 0 {
		if err := r.readParsed(ctx, at); !errors.Is(err, errNotCached) {
			return err
		}
	}
	err := r.readLog(ctx, moved)
	if errors.Is(err, runsource.ErrLogReplaced) {
		r.reset()
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

// reset drops everything that may be of another log.
func (r *runReader) reset() {
	r.record = Record{identity: r.run.identity(), listed: r.run.fingerprint()}
}

// readLog reads the event file from the offset that was reached before.
func (r *runReader) readLog(ctx context.Context, moved bool) error {
	known := r.record.checkpoint
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
	r.record.checkpoint = hashCheckpoint(next, known)
	return nil
}

// readPart aggregates a part of the log. The checkpoint is nil if there is nothing new.
func (r *runReader) readPart(ctx context.Context, part *restclient.FilePart) (next *runsource.Checkpoint, rest []byte, d *digest, err error) {
	known := &r.record.checkpoint
	next = &runsource.Checkpoint{}
	switch part.State {
	case restclient.FileAbsent, restclient.FileShrunk, restclient.FileUnchanged:
		if known.offset > 0 { // a part that starts at the tail contains at least the tail
			return nil, nil, nil, runsource.ErrLogReplaced
		}
		r.record.Origin, r.record.Metrics, r.record.images = runsource.FromEventLog, nil, nil
		return nil, nil, nil, nil
	case restclient.FileWhole:
		if known.isUnchanged(part) && known.offset == part.Size {
			return nil, nil, nil, nil
		}
		r.reset()
	default:
		if next, err = known.resume(part); err != nil {
			return nil, nil, nil, err
		}
	}
	d = newDigest(r.record.Metrics, r.record.images, r.names)
	rest, err = r.parse(ctx, part, part.Size-next.Offset, next, d)
	return next, rest, d, err
}

// lineSource is a reader of lines: a part of a file, or an entry of an archive.
type lineSource interface{ Read(b []byte) (int, error) }

// parse aggregates lines. It returns the bytes after the last newline.
func (r *runReader) parse(ctx context.Context, body lineSource, expected int64, next *runsource.Checkpoint, d *digest) (rest []byte, err error) {
	var parser eventlog.Parser
	return runsource.ReadLines(body, expected, func(chunk []byte) (consumed int, err error) {
		if next.Unterminated && len(chunk) > 0 {
			if chunk[0] != '\n' {
				return 0, runsource.ErrLogReplaced // the unterminated line was longer than what was read of it
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

// finish handles an unterminated last line, and sets the aggregates.
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

// readCached aggregates a run whose steps are not in order, from the cache of parsed runs.
func (r *runReader) readCached(ctx context.Context) error {
	err := r.cache.Read(ctx, r.src.Key, r.src, r.aggregate)
	if err == nil {
		r.record.unordered, r.record.checkpoint = true, hashedCheckpoint{}
	}
	return err
}

// errNotCached means that the cache of parsed runs does not have the current state of the run.
var errNotCached = errors.New("the run is not cached")

// readParsed reads a run into the cache of parsed runs and aggregates it there. It returns
// errNotCached if the run is too large for the cache, or if the cache has only an older table,
// which it keeps longer if the table was expensive for the Viewer.
func (r *runReader) readParsed(ctx context.Context, now time.Time) error {
	return r.cache.ReadAny(ctx, r.src.Key, r.src, func(v *runcache.View) error {
		if v.Table == nil || v.ReadTime.Before(now) {
			return errNotCached
		}
		return r.aggregate(v)
	})
}

// aggregate sets the aggregates of a run from its view in the cache of parsed runs.
func (r *runReader) aggregate(v *runcache.View) (err error) {
	r.record.Origin, r.record.images = v.Origin, imagesOf(v.Images, r.names)
	r.record.checkpoint, r.record.headChecked = hashCheckpoint(&v.Checkpoint, hashedCheckpoint{}), r.now().UnixNano()
	r.record.setRead(PartMetrics, v.ReadTime)
	r.record.Metrics, err = metricsOfTable(v.Table, v.Origin == runsource.FromMergedTable, r.names)
	return err
}

// readTable aggregates the merged table, whose rows are sent in ascending order of steps.
func (r *runReader) readTable(ctx context.Context) error {
	d := newDigest(nil, nil, r.names)
	indeterminate := map[string]int{}
	_, err := r.src.ReadTable(ctx, d.add, func(name string, n int) { indeterminate[name] += n })
	if err != nil {
		return err
	}
	r.record.Origin, r.record.Metrics, r.record.checkpoint = runsource.FromMergedTable, d.metrics(), hashedCheckpoint{}
	for i := range r.record.Metrics {
		r.record.Metrics[i].nonFinite = int64(indeterminate[r.record.Metrics[i].Name])
	}
	return nil
}
