package runsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Run is one run of a Viewer.
type Run struct {
	Client *restclient.Client
	Key
}

var (
	_ MetricSource = Run{}
	_ LogSource    = Run{}
)

// ReadEvents reads the event file, from 0.6 on.
func (r Run) ReadEvents(ctx context.Context, offset, length int64) (*restclient.FilePart, error) {
	return r.readFile(ctx, restclient.FileEvents, offset, length)
}

// ReadLog reads the text log, from 0.6 on.
func (r Run) ReadLog(ctx context.Context, offset, length int64) (*restclient.FilePart, error) {
	return r.readFile(ctx, restclient.FileLogs, offset, length)
}

func (r Run) readFile(ctx context.Context, name restclient.RunFile, offset, length int64) (*restclient.FilePart, error) {
	file, err := r.Client.ReadFile(ctx, r.RunID, name, offset, length)
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindUnsupported {
		return nil, fmt.Errorf("%w: %w", ErrNotServed, err)
	}
	switch {
	case err != nil:
		return nil, markNotFound(err)
	case file.State == restclient.RunGone:
		return nil, errors.Join(r.NotFoundError(), file.Close())
	}
	return file, nil
}

// ReadTable reads the merged table.
func (r Run) ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(string, int)) (restclient.TableInfo, error) {
	info, err := r.Client.Table(ctx, r.RunID, put, nulls)
	return info, markNotFound(err)
}

// ProbeTable asks how large the merged table is.
func (r Run) ProbeTable(ctx context.Context) (restclient.TableInfo, error) {
	info, err := r.Client.ProbeTable(ctx, r.RunID)
	return info, markNotFound(err)
}

// What stands for a line that the Viewer does not show, and what makes a line too
// long that was cut there: followed logs mark both as lossy.
const (
	invalidText    = "\xff"
	truncationMark = "…"
)

// StreamLog reads the text log over the WebSocket, which is all that 0.5.3 has.
func (r Run) StreamLog(ctx context.Context, yield func(line string) error, replayDone func()) error {
	err := r.Client.StreamLog(ctx, r.RunID, func(line restclient.LogLine) error {
		switch {
		case line.Lost:
			return yield(invalidText)
		case line.Truncated:
			return yield(line.Text + truncationMark)
		}
		return yield(line.Text)
	}, replayDone)
	return markNotFound(err)
}

// HasEnded says whether the run's status is terminal.
func (r Run) HasEnded(ctx context.Context) (bool, error) {
	status, _, err := r.Status(ctx)
	return status.Terminal, err
}

// Status reads the run's status file, which is the truth, and the list where
// there is none: on 0.5.3, and of runs that were brought in without one. Where
// there is a file the list is not asked: 0.7.2 keeps listing a run as finished
// that was opened again.
func (r Run) Status(ctx context.Context) (status Status, seen time.Time, err error) {
	doc, err := r.Client.StatusFile(ctx, r.RunID)
	e, _ := errors.AsType[*restclient.Error](err)
	switch {
	case e != nil && e.Kind == restclient.KindUnsupported, err == nil && doc.State == restclient.FileAbsent:
		return r.listedStatus(ctx)
	case e != nil && e.Kind == restclient.KindMalformed:
		return Status{Text: "running"}, seen, nil // the SDK is writing it at this moment, so the run lives
	case err != nil:
		return Status{}, seen, markNotFound(err)
	case doc.State == restclient.RunGone:
		return Status{}, seen, r.NotFoundError()
	}
	return statusOf(doc.Value.Status), seen, nil
}

// listedStatus asks the shared list, and the run itself where it is not in it.
func (r Run) listedStatus(ctx context.Context) (status Status, seen time.Time, err error) {
	list, err := r.Client.Runs(ctx)
	if err != nil {
		return Status{}, seen, err
	}
	if run := list.Find(r.RunID); run != nil {
		return statusOf(run.Status), list.At, nil
	}
	run, err := r.Client.GetRun(ctx, r.RunID)
	if err != nil {
		return Status{}, seen, markNotFound(err)
	}
	return statusOf(run.Status), seen, nil
}

func statusOf(text restclient.Text) Status {
	return Status{Text: text.Value, Terminal: IsTerminal(text)}
}

// IsTerminal says whether a status means that nothing more will be logged. An
// unknown one does not.
func IsTerminal(status restclient.Text) bool {
	return status.Known && status.Value != "" && !strings.EqualFold(status.Value, "running")
}

// markNotFound marks the error of a run that does not exist.
func markNotFound(err error) error {
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindNotFound {
		return fmt.Errorf("%w: %w", ErrRunNotFound, err)
	}
	return err
}

// NotFoundError is the error of a run that is not there any more.
func (r Run) NotFoundError() error {
	return fmt.Errorf("%w: %w", ErrRunNotFound, &restclient.Error{
		Kind: restclient.KindNotFound, Viewer: r.Viewer, Resource: "run", ResourceID: r.RunID,
	})
}
