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
	_ Source    = Run{}
	_ LogSource = Run{}
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
	if restclient.IsKind(err, restclient.KindUnsupported) {
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

// ProbeTable reads the size of the merged table.
func (r Run) ProbeTable(ctx context.Context) (restclient.TableInfo, error) {
	info, err := r.Client.ProbeTable(ctx, r.RunID)
	return info, markNotFound(err)
}

// Replacements for a line that the Viewer does not send, and for the end of a truncated
// line: followed logs mark both as lossy.
const (
	invalidText    = "\xff"
	truncationMark = "…"
)

// StreamLog reads the text log over the WebSocket, the only way on 0.5.3.
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

// Status reads the run's status file, or the list if there is none: on 0.5.3, and for
// imported runs without one. The file is authoritative: 0.7.2 still lists a reopened run as
// finished.
func (r Run) Status(ctx context.Context) (status Status, seen time.Time, err error) {
	doc, err := r.Client.StatusFile(ctx, r.RunID)
	switch {
	case restclient.IsKind(err, restclient.KindUnsupported), err == nil && doc.State == restclient.FileAbsent:
		return r.listedStatus(ctx)
	case restclient.IsKind(err, restclient.KindMalformed):
		return Status{Text: "running"}, seen, nil // the SDK is writing it, so the run is alive
	case err != nil:
		return Status{}, seen, markNotFound(err)
	case doc.State == restclient.RunGone:
		return Status{}, seen, r.NotFoundError()
	}
	return statusOf(doc.Value.Status), seen, nil
}

// listedStatus reads the status in the shared list, or of the run itself if the list lacks
// it.
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

// IsTerminal reports whether a status means that nothing more will be logged. An unknown
// status does not.
func IsTerminal(status restclient.Text) bool {
	return status.Known && status.Value != "" && !strings.EqualFold(status.Value, "running")
}

// markNotFound wraps the error of a run that does not exist.
func markNotFound(err error) error {
	if restclient.IsKind(err, restclient.KindNotFound) {
		return fmt.Errorf("%w: %w", ErrRunNotFound, err)
	}
	return err
}

// NotFoundError returns the error for a run that no longer exists.
func (r Run) NotFoundError() error {
	return fmt.Errorf("%w: %w", ErrRunNotFound, restclient.NotFound(r.Viewer, "run", r.RunID, ""))
}
