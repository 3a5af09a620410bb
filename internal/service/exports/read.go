package exports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// errNoFile: the run does not have the file. errNotServed: its Viewer would send
// something else.
var (
	errNoFile    = errors.New("the run has no such file")
	errNotServed = errors.New("the viewer does not serve the file")
)

const (
	// partSize is how many bytes of a file one request reads. The part is held in memory,
	// so that a slow client does not hold a connection to the Viewer. restclient treats
	// requests up to this size as light.
	partSize = 4 << 20
	// partOverlap is how many bytes are read again with the next part. If they differ,
	// the file was replaced.
	partOverlap = 256
)

// partReader reads a file of a run in parts, up to the size that the file had when it was
// opened. What a live run appends later is not read.
type partReader struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be ended, and this one ends with its call
	t    target.Run
	file restclient.RunFile

	part   []byte    // read from the Viewer, not yet returned
	tail   []byte    // the last bytes that were returned
	next   int64     // offset of the next part
	end    int64     // the size of the file when it was opened
	closer io.Closer // body of a Viewer that ignores ranges; else nil
	body   io.Reader
}

// openFile opens a file of a run. The error is errNoFile if the run does not have it.
func (j *exporter) openFile(ctx context.Context, t target.Run, file restclient.RunFile) (*partReader, error) {
	r := &partReader{ctx: ctx, t: t, file: file, end: -1}
	return r, r.open()
}

// open reads the first part.
func (r *partReader) open() error {
	part, err := r.t.Client.ReadFile(r.ctx, r.t.RunID, r.file, 0, partSize)
	if err != nil {
		return err
	}
	switch part.State {
	case restclient.FileWhole:
		r.body, r.closer = part, part
		return nil
	case restclient.FileRanged:
		r.end = part.Size
		err = r.fill(part, 0)
	case restclient.FileUnchanged: // the file is empty
		r.end = 0
	case restclient.FileAbsent:
		if err = errNoFile; part.NotServed {
			err = errNotServed
		}
	default:
		err = source.Of(r.t).NotFoundError()
	}
	return errors.Join(err, part.Close())
}

// Read returns bytes of the current part, or reads the next one.
func (r *partReader) Read(b []byte) (n int, err error) {
	if r.body != nil {
		return r.body.Read(b)
	}
	for len(r.part) == 0 {
		if r.next >= r.end {
			return 0, io.EOF
		}
		if err := r.fetch(); err != nil {
			return 0, err
		}
	}
	n = copy(b, r.part)
	r.part = r.part[n:]
	return n, nil
}

// fetch reads the next part and compares its overlap with the last one.
func (r *partReader) fetch() (err error) {
	from := r.next - int64(len(r.tail))
	part, err := r.t.Client.ReadFile(r.ctx, r.t.RunID, r.file, from, min(partSize, r.end-from))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, part.Close()) }()
	switch part.State {
	case restclient.RunGone:
		return source.Of(r.t).NotFoundError()
	case restclient.FileRanged:
	default: // shorter than before, deleted, or served without ranges
		return r.replacedError()
	}
	tail := make([]byte, len(r.tail))
	if _, err := io.ReadFull(part, tail); err != nil {
		return err
	}
	if !bytes.Equal(tail, r.tail) {
		return r.replacedError()
	}
	return r.fill(part, len(tail))
}

// fill reads a part of the file into memory, of which the first skipped bytes have been
// read.
func (r *partReader) fill(part *restclient.FilePart, skipped int) error {
	want := min(partSize-int64(skipped), r.end-r.next)
	if int64(cap(r.part)) < want {
		r.part = make([]byte, want)
	}
	r.part = r.part[:want]
	if n, err := io.ReadFull(part, r.part); err != nil {
		r.part = nil
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			err = &restclient.Error{Kind: restclient.KindCutOff, Viewer: r.t.Name, BytesDelivered: r.next + int64(n), Err: io.ErrUnexpectedEOF}
		}
		return fmt.Errorf("read %s: %w", r.file, err)
	}
	r.next += want
	r.tail = append(r.tail[:0], r.part[max(0, want-partOverlap):]...)
	return nil
}

// replacedError is the error for a file that was replaced while it was read.
func (r *partReader) replacedError() error {
	return &apierr.Error{
		Code: codes.FailedPrecondition, Reason: runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT,
		Message:  fmt.Sprintf("%s: %s was replaced while it was read; begin again", r.t.ResourceName(), r.file),
		Metadata: map[string]string{"viewer": r.t.Name, "run_id": r.t.RunID},
	}
}

// Close closes the body, if there is one.
func (r *partReader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// readEvents reads a run's event file from its beginning, in constant memory. A run
// without the file has logged nothing. Parser and handler run in steps of computing; the
// handler ends a step with source.ErrPieceDone.
func (j *exporter) readEvents(ctx context.Context, t target.Run, compute export.Compute, h eventlog.Handler) (err error) {
	file, err := j.openFile(ctx, t, restclient.FileEvents)
	if errors.Is(err, errNoFile) {
		return nil
	}
	if err != nil {
		return source.FilesUnsupported(err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var parser eventlog.Parser
	rest, offset, err := source.ScanEvents(file, &parser, compute, h)
	if err != nil {
		return err
	}
	counts, err := runsource.LastLineCounts(ctx, source.Of(t), rest, offset)
	if err == nil && counts {
		err = compute(func() error { _, err := parser.Finish(rest, offset, h); return err })
	}
	excess := parser.Counts().Excess
	j.recordLimitations(t, excess.Limitations())
	return err
}

// recordLimitations records what of a run was too large for the file.
func (j *exporter) recordLimitations(t target.Run, texts []string) {
	for _, text := range texts {
		if text = convert.Text(t.RunID) + ": " + text; !slices.Contains(j.limitations, text) { // images and metrics are read separately
			j.limitations = append(j.limitations, text)
		}
	}
}
