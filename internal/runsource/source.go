// Package runsource reads the bytes of a run: it defines their sources, identifies a log by
// a Checkpoint or Position, and reads its lines (ReadLines, Stream).
//
// A Source hides HTTP, gRPC, URLs and the Viewer's generations: one without an event file
// returns ErrNotServed and is then read by its merged table.
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
	// ErrNotServed is wrapped by a Source's error if its Viewer serves no event files, so
	// that only the merged table can be read.
	ErrNotServed = errors.New("the viewer serves no event files")
	// ErrRunNotFound is wrapped by a Source's error if the run does not exist.
	ErrRunNotFound = errors.New("the run is gone")
)

// Source reads one run from its Viewer. It must be safe for concurrent use, and may be used
// after the call that passed it has returned, until the Cache is closed, or until the last
// cursor of the run was closed.
type Source interface {
	// ReadEvents reads at most length bytes of the event file from offset, or to its end if
	// length is 0. The caller closes the part in every state. The state is never RunGone;
	// the error is then ErrRunNotFound.
	ReadEvents(ctx context.Context, offset, length int64) (*restclient.FilePart, error)
	// ReadTable reads the merged table. It passes rows to put, which copies what it keeps
	// and whose error ends the call. After the last row, nulls gets the number of null
	// cells of every column that has any.
	ReadTable(ctx context.Context, put func(*eventlog.Row) error, nulls func(name string, n int)) (restclient.TableInfo, error)
	// ProbeTable returns what ReadTable would, at a fraction of the cost.
	ProbeTable(ctx context.Context) (restclient.TableInfo, error)
	// Status reads the run's status, from status.json if it exists. seen is when the Viewer
	// sent it, which is before the call if it comes from a shared list.
	Status(ctx context.Context) (status Status, seen time.Time, err error)
}

// LogSource reads the text log and the status of one run. Errors wrap ErrRunNotFound and
// ErrNotServed like those of a Source.
type LogSource interface {
	// ReadLog reads the log file like Source.ReadEvents.
	ReadLog(ctx context.Context, offset, length int64) (*restclient.FilePart, error)
	// StreamLog passes all lines of the log, and then new ones, to yield, until yield or
	// the connection fails. It is used if ReadLog returns ErrNotServed. Lines have no
	// newlines, and do not include the Viewer's control messages.
	//
	// replayDone is called once, when all lines of the existing log were sent: the stream
	// itself does not distinguish old lines from new ones.
	StreamLog(ctx context.Context, yield func(line string) error, replayDone func()) error
	// Status is that of Source.
	Status(ctx context.Context) (status Status, seen time.Time, err error)
}

// Status is a run's status as its Viewer reports it.
type Status struct {
	// Text is the Viewer's text; empty if unknown.
	Text string
	// Terminal reports that nothing more will be logged.
	Terminal bool
}

// Key names a run of a Viewer.
type Key struct {
	Viewer, RunID string
}

// Origin is the kind of source that a run was read from.
type Origin uint8

// The origins.
const (
	// FromEventLog: the event file, with everything that was logged.
	FromEventLog Origin = iota + 1
	// FromMergedTable: the Viewer's merged table, in which a null is a value that was never
	// logged or was not finite.
	FromMergedTable
	// FromLogFile: the file of the text log.
	FromLogFile
	// FromLogStream: the lines of a text log, sent by a Viewer that serves no files.
	FromLogStream
)

// SmallTable is the number of steps up to which reading a table costs the Viewer hardly
// more than probing it.
const SmallTable = 2000

// IsSameTable reports whether two states of a table look the same to a probe.
func IsSameTable(a, b *restclient.TableInfo) bool {
	return a.Total == b.Total && a.LastStep == b.LastStep && slices.Equal(a.Columns, b.Columns)
}
