// Package runsource says what a run's bytes are: where they are read from, by what a log
// is known again (Checkpoint, Position), and how its lines are read (ReadLines, Stream).
//
// A Source knows neither HTTP, gRPC, URLs nor the Viewer's generations: one that has no
// event file says so, and is then read by its merged table.
package runsource

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

var (
	// ErrNotServed is what a Source's error wraps when its Viewer serves no
	// event files, so that the merged table is all there is.
	ErrNotServed = errors.New("the viewer serves no event files")
	// ErrRunNotFound is what a Source's error wraps when there is no such run.
	ErrRunNotFound = errors.New("the run is gone")
)

// Source reads one run from its Viewer. It must be safe for concurrent use and
// may be used after the call that brought it, until the Cache is closed.
type Source interface {
	// ReadEvents reads the event file from offset, at most length bytes, or to
	// its end where length is 0. The caller closes the part in every state, of which
	// RunGone is none: that is ErrRunNotFound.
	ReadEvents(ctx context.Context, offset, length int64) (*restclient.FilePart, error)
	// ReadTable reads the merged table. Rows go to put, which copies what it
	// keeps and whose error ends the call; after the last row, nulls gets the
	// number of null cells of every column that has any.
	ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(name string, n int)) (restclient.TableInfo, error)
	// ProbeTable asks what ReadTable would return, at a part of its cost.
	ProbeTable(ctx context.Context) (restclient.TableInfo, error)
	// HasEnded says whether the run's status is terminal.
	HasEnded(ctx context.Context) (bool, error)
}

// MetricSource reads the metrics and the status of one run. Besides what is said
// of a Source, it is used until the last cursor of the run has been closed.
type MetricSource interface {
	Source
	// Status reads the run's status: from its status.json where there is one. Seen
	// is when the Viewer said so, where that was before the call: in a shared list.
	Status(ctx context.Context) (status Status, seen time.Time, err error)
}

// LogSource reads the text log and the status of one run. Errors wrap ErrRunNotFound
// and ErrNotServed as those of a Source do.
type LogSource interface {
	// ReadLog reads the log file as Source.ReadEvents reads the event file.
	ReadLog(ctx context.Context, offset, length int64) (*restclient.FilePart, error)
	// StreamLog gives all lines of the log to yield, from the first one on, and
	// then those that come, until yield or the connection fails. It is used
	// where ReadLog says ErrNotServed. Lines have no newlines, and control texts
	// of the Viewer are not among them.
	//
	// ReplayDone is called once, when the lines that the log had have been given and
	// there is nothing more to say: a stream does not tell old lines from new ones.
	StreamLog(ctx context.Context, yield func(line string) error, replayDone func()) error
	// Status is as in MetricSource.
	Status(ctx context.Context) (status Status, seen time.Time, err error)
}

// Status is a run's status as its Viewer says it.
type Status struct {
	// Text is the Viewer's own word; empty if unknown.
	Text string
	// Terminal says that the word means that nothing more will be logged.
	Terminal bool
}

// Key names a run of a Viewer.
type Key struct {
	// Viewer is the name of the Viewer, and RunID the run's id there.
	Viewer, RunID string
}

// Origin is what a run was read from.
type Origin uint8

// The origins.
const (
	// FromEventLog: the event file, with everything that was logged.
	FromEventLog Origin = iota + 1
	// FromMergedTable: the Viewer's merged table, in which a null is a value
	// that was never logged, or one that was not finite.
	FromMergedTable
	// FromLogFile: the file of the text log.
	FromLogFile
	// FromLogStream: the lines of a text log that a Viewer sends which serves no
	// files.
	FromLogStream
)

// SmallTable is the number of steps up to which reading a table costs the Viewer hardly
// more than probing it.
const SmallTable = 2000

// IsSameTable says whether a probe shows no difference between two states of a table.
func IsSameTable(a, b *restclient.TableInfo) bool {
	return a.Total == b.Total && a.LastStep == b.LastStep && slices.Equal(a.Columns, b.Columns)
}
