package follow

import (
	"errors"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// ItemKind is the type of an Item.
type ItemKind uint8

// The kinds of an Item.
const (
	// ItemBatch: points or lines, in Batch.
	ItemBatch ItemKind = iota + 1
	// ItemCaughtUp: end of the history; everything after it is live.
	ItemCaughtUp
	// ItemReset: everything delivered is invalid, for the reason in Reset; all of it is
	// sent again from the start.
	ItemReset
	// ItemStatus: the run's status has changed to Status.
	ItemStatus
	// ItemEnd: no more items follow, for the reason in End; Status is the last known one.
	ItemEnd
	// ItemPartial: the last line of a text log has no newline yet and is idle; it is in
	// Partial. Position is before it: the line is delivered again when it grows or ends.
	ItemPartial
)

// Item is what a Cursor delivers.
type Item struct {
	// Kind selects the fields below that are set.
	Kind ItemKind
	// Batch is shared with other cursors and immutable.
	Batch *logbatch.Batch
	// Partial is the line of an ItemPartial, shared and immutable.
	Partial *logbatch.LogLine
	// Reset is the reason of an ItemReset.
	Reset ResetReason
	// Status is the run's status, in an ItemStatus or ItemEnd.
	Status runsource.Status
	// End is the reason of an ItemEnd.
	End EndReason
	// Position is the position after this item, from which a new cursor continues.
	Position runsource.Position
}

// ResetReason is why everything delivered has become invalid.
type ResetReason string

// The reasons of a reset, as logs have them.
const (
	// LogTruncated: the log is shorter than the part already delivered.
	LogTruncated ResetReason = "truncated"
	// LogReplaced: another log is in its place.
	LogReplaced ResetReason = "replaced"
	// SourceChanged: the run is now read from another source.
	SourceChanged ResetReason = "source changed"
)

// EndReason is why a cursor has ended.
type EndReason uint8

// The reasons of an end.
const (
	// EndTerminal: the status is terminal and the log is idle.
	EndTerminal EndReason = iota + 1
	// EndDeleted: the run no longer exists.
	EndDeleted
	// EndNotFound: the run did not exist at the first poll.
	EndNotFound
)

// statusRunning is the status of a run whose log grows, whatever its Viewer says: 0.7.2
// still reports finished for a reopened run, and failed for runs whose process is on
// another host.
var statusRunning = runsource.Status{Text: "running"}

// Until selects when a Cursor ends.
type Until uint8

const (
	// UntilEnded ends the cursor with the run.
	UntilEnded Until = iota
	// Forever reports the end of the run as an ItemStatus and continues, because the run
	// may be reopened. Only the run's deletion ends such a cursor.
	Forever
)

// UpstreamState is the result of the last poll of the Viewer.
type UpstreamState uint8

// The states of the upstream.
const (
	// UpstreamUnknown: not polled yet.
	UpstreamUnknown UpstreamState = iota
	// UpstreamOK: it answered.
	UpstreamOK
	// UpstreamFailing: it cannot be reached, or answers with errors.
	UpstreamFailing
	// UpstreamRateLimited: it asked for a pause.
	UpstreamRateLimited
)

// Health is how fresh a Cursor is, for heartbeats.
type Health struct {
	// LastSuccess is when the Viewer last answered for this run, State the result of the
	// last poll, and LastError the reason if it failed.
	LastSuccess time.Time
	State       UpstreamState
	LastError   error
	// BehindBytes is how much of the log the cursor has not delivered yet, -1 if unknown.
	BehindBytes int64
	// PollInterval is the current poll interval.
	PollInterval time.Duration
	// NewestTime is the time of the newest point that was read, in Unix seconds; 0 if
	// unknown.
	NewestTime float64
	// Counts counts what this cursor has skipped.
	Counts eventlog.Counts
}

var (
	// ErrUnreachable is wrapped, with its cause, by the error of a Cursor whose Viewer has
	// not answered for HubConfig.UnreachableAfter.
	ErrUnreachable = errors.New("the viewer has not answered for too long")
	// ErrHubClosed is the error of all cursors after Close.
	ErrHubClosed = errors.New("followed runs have been closed")
)
