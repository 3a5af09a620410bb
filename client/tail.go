package client

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// heartbeatInterval is the server's default.
const heartbeatInterval = 15 * time.Second

// Event is an event of a tail; GetEvent returns its type:
//   - GetBatch: points of one run.
//   - GetCaughtUp: the history of the run has been sent; later points are live.
//   - GetLogReset: discard the points of the run; it is sent again from its start.
//   - GetStatusChange: the run has a new status.
//   - GetEnd: no more events of this run follow.
//   - GetHeartbeat: how fresh the stream is, every 15 s unless the request sets
//     another interval.
type Event struct {
	*runicornapiv1.TailMetricsResponse
}

// Token resumes a tail after this event, as ResumeToken of a request. A program that
// stores it together with the points loses no point and gets none twice.
func (e *Event) Token() string { return e.GetResumeToken() }

// Points returns the points of a batch, by series, each series in the order of
// logging. Other events have no points.
func (e *Event) Points() iter.Seq[Point] {
	return func(yield func(Point) bool) {
		for _, s := range e.GetBatch().GetSeries() {
			for p := range points(e.GetViewer(), e.GetRunId(), s) {
				if !yield(p) {
					return
				}
			}
		}
	}
}

// Tail follows runs until they end: first the points that they have logged, then new
// points. If the connection fails, the server is replaced, or no message arrives for
// two heartbeat intervals, Tail resumes after the last event, so each point is returned
// once. (With Viewers 0.5, changes at steps that were already sent may be repeated.)
//
// An error ends the sequence. It is the error of the context, an error that retries
// cannot fix or, before the first message, that the server does not answer. A run that
// does not exist is NOT_FOUND after the end of all others. Each loop over the sequence
// starts at the position of the request.
func (c *Client) Tail(ctx context.Context, request *runicornapiv1.TailMetricsRequest) iter.Seq2[*Event, error] {
	open := func(ctx context.Context, token string) (grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse], error) {
		// Runs and selections are sent together with the token: proxies route by the
		// runs, and the token does not contain the selections.
		request := proto.CloneOf(request)
		if token != "" {
			request.ResumeToken, request.Start = token, runicornapiv1.TailStart_TAIL_START_UNSPECIFIED
		}
		return c.MetricService.TailMetrics(ctx, request)
	}
	wrap := func(m *runicornapiv1.TailMetricsResponse) *Event { return &Event{m} }
	return follow(ctx, c.conn, "TailMetrics", request.GetResumeToken(), request.GetHeartbeatInterval(), open, wrap)
}

// LogEvent is an event of a tail of a log: lines (GetBatch), or an event as of Event.
type LogEvent struct {
	*runicornapiv1.TailLogsResponse
}

// Token resumes a tail after this event, as ResumeToken of a request.
func (e *LogEvent) Token() string { return e.GetResumeToken() }

// TailLogs follows the text that a run logs, as Tail follows its points: each line is
// returned once. A line with GetPartial has no newline yet, and is sent again with the
// same offset.
func (c *Client) TailLogs(ctx context.Context, request *runicornapiv1.TailLogsRequest) iter.Seq2[*LogEvent, error] {
	open := func(ctx context.Context, token string) (grpc.ServerStreamingClient[runicornapiv1.TailLogsResponse], error) {
		request := proto.CloneOf(request)
		if token != "" {
			request.ResumeToken, request.Start, request.LastLines = token, runicornapiv1.TailStart_TAIL_START_UNSPECIFIED, nil
		}
		return c.ExperimentService.TailLogs(ctx, request)
	}
	wrap := func(m *runicornapiv1.TailLogsResponse) *LogEvent { return &LogEvent{m} }
	return follow(ctx, c.conn, "TailLogs", request.GetResumeToken(), request.GetHeartbeatInterval(), open, wrap)
}

// tailMessage is a message of a live stream that can be resumed.
type tailMessage[T any] interface {
	*T
	GetResumeToken() string
	GetRunId() string
	GetHeartbeat() *runicornapiv1.Heartbeat
	GetEnd() *runicornapiv1.TailEnd
}

// follower receives a live stream over as many connections as necessary.
type follower[T any, M tailMessage[T]] struct {
	conn     *connection
	open     func(ctx context.Context, token string) (grpc.ServerStreamingClient[T], error)
	token    string
	silence  time.Duration // maximum time without a message before the connection is replaced
	attempts *attempts
	missing  string // the last run that does not exist
}

// follow returns the wrapped messages of a live stream.
func follow[T any, M tailMessage[T], E any](ctx context.Context, conn *connection, method, token string, heartbeat *durationpb.Duration,
	open func(ctx context.Context, token string) (grpc.ServerStreamingClient[T], error), wrap func(M) E,
) iter.Seq2[E, error] {
	interval := heartbeatInterval
	if heartbeat != nil {
		interval = heartbeat.AsDuration()
	}
	return func(yield func(E, error) bool) {
		// Before the first message, retries are limited: the address or the request may be wrong.
		f := &follower[T, M]{conn: conn, open: open, token: token, silence: 2 * interval, attempts: conn.attempts(method, conn.retries)}
		err := f.follow(ctx, func(m M) bool { return yield(wrap(m), nil) })
		if err != nil && !errors.Is(err, errStopped) {
			var none E
			yield(none, err)
		}
	}
}

// errStopped means that the caller has left the loop.
var errStopped = errors.New("stopped")

// follow yields the messages of all connections. It returns nil at the end of the
// stream.
func (f *follower[T, M]) follow(ctx context.Context, yield func(M) bool) error {
	for {
		err := f.connect(ctx, yield)
		if errors.Is(err, io.EOF) && f.missing != "" {
			return notFound(f.missing)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err := f.attempts.wait(ctx, err); err != nil {
			return err
		}
	}
}

// connect yields the messages of one connection. The error is never nil; io.EOF is the
// end of the stream.
func (f *follower[T, M]) connect(ctx context.Context, yield func(M) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := &Error{Code: codes.Unavailable, Message: "no message for " + f.silence.String()}
	watch := time.AfterFunc(f.silence, func() { cancel(silent) })
	defer watch.Stop()
	used, err := f.conn.acquire()
	if err != nil {
		return err
	}
	defer f.conn.release(used)
	stream, err := f.open(ctx, f.token)
	for count := 1; ; count++ {
		var m M
		if err == nil {
			m, err = stream.Recv()
		}
		watch.Stop() // the caller may take its time
		switch {
		case err != nil && errors.Is(context.Cause(ctx), silent):
			// The computer slept, or the server hangs but keeps the connection.
			f.conn.replace(used)
			return silent
		case err != nil:
			return err
		}
		f.attempts.limit = noLimit
		if count > 1 || m.GetHeartbeat() == nil {
			f.attempts.succeeded() // the first heartbeat is no progress: each connection begins with one
		}
		if m.GetEnd().GetReason() == runicornapiv1.EndReason_END_REASON_NOT_FOUND {
			f.missing = m.GetRunId()
		}
		if !yield(m) {
			return errStopped
		}
		f.token = m.GetResumeToken()
		watch.Reset(f.silence)
	}
}

func notFound(runID string) error {
	return &Error{
		Code: codes.NotFound, Reason: "RUN_NOT_FOUND", Message: "there is no run " + runID,
		Metadata: map[string]string{"run_id": runID},
	}
}
