package follow

import (
	"errors"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// ItemKind says what an Item is.
type ItemKind uint8

// The kinds of an Item.
const (
	// ItemBatch: points or lines, in Batch.
	ItemBatch ItemKind = iota + 1
	// ItemCaughtUp: the history ends here, the live part begins.
	ItemCaughtUp
	// ItemReset: what was delivered no longer holds, for the reason in Reset;
	// all of it follows again from the start.
	ItemReset
	// ItemStatus: the run's status is another one, in Status.
	ItemStatus
	// ItemEnd: nothing more comes, for the reason in End; Status is the last one
	// that was known.
	ItemEnd
	// ItemPartial: the last line of a text log has no newline yet and is at rest; it is in
	// Partial. Position is before it: the line comes again, with more or with its newline.
	ItemPartial
)

// Item is what a Cursor delivers.
type Item struct {
	// Kind says which of the fields below count.
	Kind ItemKind
	// Batch is shared with other cursors and immutable.
	Batch *logbatch.Batch
	// Partial is the line of an ItemPartial, shared and immutable.
	Partial *logbatch.LogLine
	// Reset is why an ItemReset came.
	Reset ResetReason
	// Status is the run's, of an ItemStatus or ItemEnd.
	Status runsource.Status
	// End is why an ItemEnd came.
	End EndReason
	// Position is the position behind this item: a cursor that starts there continues
	// with what follows.
	Position runsource.Position
}

// ResetReason is why what was delivered no longer holds.
type ResetReason uint8

// The reasons of a reset.
const (
	// LogTruncated: the log is shorter than what was delivered.
	LogTruncated ResetReason = iota + 1
	// LogReplaced: the log is another one.
	LogReplaced
	// SourceChanged: the run is now read from another source.
	SourceChanged
)

// String is the reason as logs have it.
func (r ResetReason) String() string {
	switch r {
	case LogTruncated:
		return "truncated"
	case LogReplaced:
		return "replaced"
	case SourceChanged:
		return "source changed"
	}
	return "unknown"
}

// EndReason is why nothing more comes.
type EndReason uint8

// The reasons of an end.
const (
	// EndTerminal: the status is terminal and the log has come to rest.
	EndTerminal EndReason = iota + 1
	// EndDeleted: the run is gone.
	EndDeleted
	// EndNotFound: the run was not there when the Hub looked first.
	EndNotFound
)

// statusRunning is the status of a run whose log grows, whatever its Viewer says:
// 0.7.2 keeps saying finished of a run that was opened again, and calls runs
// failed whose process lives on another host.
var statusRunning = runsource.Status{Text: "running"}

// Until says when a Cursor ends.
type Until uint8

const (
	// UntilEnded ends the cursor with the run.
	UntilEnded Until = iota
	// Forever tells of the end of the run as an ItemStatus and continues: the run
	// may be opened again. Only the run's deletion ends such a cursor.
	Forever
)

// UpstreamState is how the last poll of the Viewer went.
type UpstreamState uint8

// The states of the upstream.
const (
	// UpstreamUnknown: not polled yet.
	UpstreamUnknown UpstreamState = iota
	// UpstreamOK: it answered.
	UpstreamOK
	// UpstreamFailing: it cannot be reached, or answers with errors.
	UpstreamFailing
	// UpstreamRateLimited: it asked to be left alone for a while.
	UpstreamRateLimited
)

// Health is how fresh a Cursor is: what heartbeats tell.
type Health struct {
	// LastSuccess is when the Viewer last answered for this run, and State how
	// the last poll went; LastError is why it failed, if it did.
	LastSuccess time.Time
	State       UpstreamState
	LastError   error
	// BehindBytes is how much of the log the cursor has still to deliver, -1
	// where that is unknown.
	BehindBytes int64
	// PollInterval is how often the Viewer is asked at present.
	PollInterval time.Duration
	// NewestTime is the time of the newest point that was read, in unix seconds;
	// it counts only if HasNewest.
	NewestTime float64
	HasNewest  bool
	// Counts is what this cursor has passed besides usable lines, and what was too
	// large.
	Counts eventlog.Counts
	// Status is the run's, empty if it is not known yet.
	Status runsource.Status
}

var (
	// ErrUnreachable is what the error of a Cursor wraps, beside its cause, when
	// the Viewer has not answered for HubConfig.Unreachable.
	ErrUnreachable = errors.New("the viewer has not answered for too long")
	// ErrHubClosed is the error of all cursors after Close.
	ErrHubClosed = errors.New("followed runs have been closed")
)
