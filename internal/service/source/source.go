// Package source adapts the runs of a Viewer to runlog: their event files, merged
// tables, text logs and statuses, and the errors of reading them.
package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// FilesUnsupported is the error of a Viewer that serves no files of runs: 0.5. What
// restclient says to use instead stands for metrics only.
func FilesUnsupported(err error) error {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok || e.Kind != restclient.KindUnsupported {
		return err
	}
	unsupported := *e
	unsupported.Alternative = "use a Viewer of 0.6 or later: 0.5 serves no files of experiments"
	return &unsupported
}

// ClassifyError returns the state that heartbeats report for a failure of a Viewer, and how long the
// Viewer wants to be left alone. It is for runlog.HubConfig.
func ClassifyError(err error) (runlog.UpstreamState, time.Duration) {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok {
		return runlog.UpstreamFailing, 0
	}
	if e.Kind == restclient.KindRateLimited {
		return runlog.UpstreamRateLimited, e.RetryAfter
	}
	return runlog.UpstreamFailing, e.RetryAfter
}

// Run is one run of a Viewer as runlog reads it.
type Run struct{ target.Run }

var _ runlog.MetricSource = Run{}

// Of returns a run as runlog reads it.
func Of(t target.Run) Run { return Run{t} }

// Reader reads parsed runs from the cache.
type Reader struct {
	Cache *runlog.Cache
	Gate  *cpugate.Gate // bounds the parsing of long histories
}

// Read gives the run's parsed view to use, which must neither change nor keep it.
func (r Reader) Read(ctx context.Context, t target.Run, use func(*runlog.View) error) error {
	key := runlog.Key{Viewer: t.Name, RunID: t.RunID}
	return LineTooLong(t, r.Cache.Read(cpugate.WithGate(ctx, r.Gate), key, Of(t), use))
}

// LineTooLong says of which run a line is too long.
func LineTooLong(t target.Run, err error) error {
	e, ok := errors.AsType[*eventlog.LineTooLongError](err)
	if !ok {
		return err
	}
	return &apierr.Error{
		Code: codes.DataLoss, Reason: runicornapiv1.ErrorReason_ERROR_REASON_LINE_TOO_LONG, Cause: err,
		Message: fmt.Sprintf("%s: %v", t.ResourceName(), e),
		Metadata: map[string]string{
			"viewer": t.Name, "run_id": t.RunID, "offset": strconv.FormatInt(e.Offset, 10),
		},
	}
}

// partStates are the states of a read that has an answer.
var partStates = map[restclient.FileState]runlog.PartState{
	restclient.FileRanged:    runlog.PartRanged,
	restclient.FileWhole:     runlog.PartWhole,
	restclient.FileUnchanged: runlog.PartUnchanged,
	restclient.FileShrunk:    runlog.PartShrunk,
	restclient.FileAbsent:    runlog.PartAbsent,
}

// ReadEvents reads the event file, from 0.6 on.
func (s Run) ReadEvents(ctx context.Context, offset, length int64) (*runlog.Part, error) {
	file, err := s.Client.ReadFile(ctx, s.RunID, restclient.FileEvents, offset, length)
	return s.part(file, err)
}

// ReadTable reads the merged table.
func (s Run) ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(string, int)) (runlog.TableInfo, error) {
	info, err := s.Client.Table(ctx, s.RunID, put, nulls)
	return tableInfo(&info), markGone(err)
}

// ProbeTable asks how large the merged table is.
func (s Run) ProbeTable(ctx context.Context) (runlog.TableInfo, error) {
	info, err := s.Client.ProbeTable(ctx, s.RunID)
	return tableInfo(&info), markGone(err)
}

func tableInfo(info *restclient.TableInfo) runlog.TableInfo {
	return runlog.TableInfo{Columns: info.Columns, Total: info.Total, LastStep: info.LastStep, UnplacedRows: info.UnplacedRows}
}

// HasEnded says whether the run's status is terminal.
func (s Run) HasEnded(ctx context.Context) (bool, error) {
	status, _, err := s.Status(ctx)
	return status.Terminal, err
}

// Status reads the run's status file, which is the truth, and the list where
// there is none: on 0.5.3, and of runs that were brought in without one. Where
// there is a file the list is not asked: 0.7.2 goes on listing a run as finished
// that was opened again.
func (s Run) Status(ctx context.Context) (status runlog.Status, seen time.Time, err error) {
	seen = time.Now()
	doc, err := s.Client.StatusFile(ctx, s.RunID)
	e, _ := errors.AsType[*restclient.Error](err)
	switch {
	case e != nil && e.Kind == restclient.KindUnsupported, err == nil && doc.State == restclient.FileAbsent:
		return s.listedStatus(ctx)
	case e != nil && e.Kind == restclient.KindMalformed:
		return runlog.Status{Text: "running"}, seen, nil // the SDK is writing it at this moment, so the run lives
	case err != nil:
		return runlog.Status{}, seen, markGone(err)
	case doc.State == restclient.RunGone:
		return runlog.Status{}, seen, s.GoneError()
	}
	return statusText(doc.Value.Status), seen, nil
}

// listedStatus asks the shared list, and the run itself where it is not in it.
func (s Run) listedStatus(ctx context.Context) (status runlog.Status, seen time.Time, err error) {
	list, err := s.Client.Runs(ctx)
	if err != nil {
		return runlog.Status{}, seen, err
	}
	if run := list.Find(s.RunID); run != nil {
		return statusText(run.Status), list.At, nil
	}
	seen = time.Now()
	run, err := s.Client.GetRun(ctx, s.RunID)
	if err != nil {
		return runlog.Status{}, seen, markGone(err)
	}
	return statusText(run.Status), seen, nil
}

func statusText(text restclient.Text) runlog.Status {
	return runlog.Status{Text: text.Value, Terminal: IsTerminal(text)}
}

// IsTerminal says whether a status means that nothing more will be logged. An
// unknown one does not.
func IsTerminal(status restclient.Text) bool {
	return status.Known && status.Value != "" && !strings.EqualFold(status.Value, "running")
}

// markGone marks the error of a run that does not exist.
func markGone(err error) error {
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindNotFound {
		return fmt.Errorf("%w: %w", runlog.ErrRunNotFound, err)
	}
	return err
}

// GoneError is the error of a run that is not there any more.
func (s Run) GoneError() error {
	return fmt.Errorf("%w: %w", runlog.ErrRunNotFound, s.NotFound())
}
