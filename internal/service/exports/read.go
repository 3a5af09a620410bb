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

// errNoFile says that a run has no such file, and errNotServed that its Viewer
// would send something else.
var (
	errNoFile    = errors.New("the run has no such file")
	errNotServed = errors.New("the viewer does not serve the file")
)

const (
	// partSize is how much of a file is read in one call. The part is held, so
	// that a client that reads slowly holds none of a Viewer's connections;
	// restclient counts calls up to this size as light.
	partSize = 4 << 20
	// partOverlap is how many bytes are read again with the next part: a file
	// that was replaced meanwhile hardly has the same ones at that place.
	partOverlap = 256
)

// partReader reads a file of a run part by part, up to the size that it had
// when it was opened: what a live run adds meanwhile is not in it.
type partReader struct {
	ctx  context.Context //nolint:containedctx // an io.Reader has no other way to be ended, and this one ends with its call
	t    target.Run
	file restclient.RunFile

	part   []byte    // what was read, and not taken yet
	tail   []byte    // the end of what was taken
	next   int64     // where the next part begins
	end    int64     // the size of the file when it was opened
	closer io.Closer // a body that ignores ranges and is read as it comes, nil if there is none
	body   io.Reader
}

// openFile opens a file of a run. errNoFile says that it has none such.
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
	case restclient.FileUnchanged: // it is empty
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

// Read reads what is there of the part at hand, or the next one.
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

// fetch reads the next part, and compares where it overlaps with the last one.
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
	default: // shorter than it was, or gone, or suddenly without ranges
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

// fill holds a part of the file, of which so many bytes have been read.
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

// replacedError is the error of a file that is another one than before.
func (r *partReader) replacedError() error {
	return &apierr.Error{
		Code: codes.FailedPrecondition, Reason: runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT,
		Message:  fmt.Sprintf("%s: %s was replaced while it was read; begin again", r.t.ResourceName(), r.file),
		Metadata: map[string]string{"viewer": r.t.Name, "run_id": r.t.RunID},
	}
}

// Close gives a connection back that may be held.
func (r *partReader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// readEvents reads a run's event file from its beginning, in constant memory.
// A run that has none has logged nothing. The parsing and the handler are done in
// pieces of computing, which the handler ends with source.ErrPieceDone.
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

// recordLimitations records what of a run was too large for any file.
func (j *exporter) recordLimitations(t target.Run, texts []string) {
	for _, text := range texts {
		if text = convert.Text(t.RunID) + ": " + text; !slices.Contains(j.limitations, text) { // the images are read apart from the metrics
			j.limitations = append(j.limitations, text)
		}
	}
}
