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

// heartbeatInterval is that of servers where a request names none.
const heartbeatInterval = 15 * time.Second

// Event is what a tail tells of a run; which one it is, GetEvent says. Besides
// points these are: the history ends here (GetCaughtUp), what you have of the run
// no longer holds and comes again from its start (GetLogReset), another status
// (GetStatusChange), nothing more comes of this run (GetEnd), and every 15 s, or
// as often as the request asks for, how fresh the stream is (GetHeartbeat).
type Event struct {
	*runicornapiv1.TailMetricsResponse
}

// Token resumes a tail after this event: give it as ResumeToken of a request.
// Who stores it together with the points loses none and gets none twice.
func (e *Event) Token() string { return e.GetResumeToken() }

// Points returns the points of the event, by series, each series in the order of
// logging. There are none unless the event is a batch.
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

// Tail follows runs: all that they have logged, then what they log, until they
// end. When the connection breaks, the server is replaced, or nothing is heard
// for two heartbeats, it continues where it was: every point comes once. (Of
// Viewers 0.5, changes at steps that were already sent may come again.)
//
// An error ends the sequence: that of the context; one that no further attempt
// can change; or, until a first message has come, the server's absence. A run
// that does not exist is NOT_FOUND after the end of all others. Each loop over
// the sequence begins where the request says.
func (c *Client) Tail(ctx context.Context, request *runicornapiv1.TailMetricsRequest) iter.Seq2[*Event, error] {
	open := func(ctx context.Context, token string) (grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse], error) {
		// Runs and selections stay beside the token: proxies route by the one, and
		// the server does not keep the other.
		request := proto.CloneOf(request)
		if token != "" {
			request.ResumeToken, request.Start = token, runicornapiv1.TailStart_TAIL_START_UNSPECIFIED
		}
		return c.MetricService.TailMetrics(ctx, request)
	}
	wrap := func(m *runicornapiv1.TailMetricsResponse) *Event { return &Event{m} }
	return follow(ctx, c.conn, "TailMetrics", request.GetResumeToken(), request.GetHeartbeatInterval(), open, wrap)
}

// LogEvent is what a tail of a log tells: lines (GetBatch), or what Event tells.
type LogEvent struct {
	*runicornapiv1.TailLogsResponse
}

// Token resumes a tail after this event: give it as ResumeToken of a request.
func (e *LogEvent) Token() string { return e.GetResumeToken() }

// TailLogs follows the text that a run logs, as Tail follows its points: every
// line comes once. A line whose GetPartial holds has no newline yet, and comes
// again with the same offset.
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

// follower receives a live stream over as many connections as it takes.
type follower[T any, M tailMessage[T]] struct {
	conn     *connection
	open     func(ctx context.Context, token string) (grpc.ServerStreamingClient[T], error)
	token    string
	silence  time.Duration // after which a connection is given up
	attempts *attempts
	missing  string // the last run of those that do not exist
}

// follow returns the messages of a live stream, each wrapped.
func follow[T any, M tailMessage[T], E any](ctx context.Context, conn *connection, method, token string, heartbeat *durationpb.Duration,
	open func(ctx context.Context, token string) (grpc.ServerStreamingClient[T], error), wrap func(M) E,
) iter.Seq2[E, error] {
	interval := heartbeatInterval
	if heartbeat != nil {
		interval = heartbeat.AsDuration()
	}
	return func(yield func(E, error) bool) {
		// Until a first message has come, address or request may be wrong.
		f := &follower[T, M]{conn: conn, open: open, token: token, silence: 2 * interval, attempts: conn.attempts(method, conn.retries)}
		err := f.follow(ctx, func(m M) bool { return yield(wrap(m), nil) })
		if err != nil && !errors.Is(err, errStopped) {
			var none E
			yield(none, err)
		}
	}
}

// errStopped says that the caller wants no more.
var errStopped = errors.New("stopped")

// follow hands on the messages of all connections. It returns nil at the end of the
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

// connect hands on the messages of one connection. The error is never nil; io.EOF
// is the end of the stream.
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
			// The computer slept, or the server hangs and would keep the connection.
			f.conn.replace(used)
			return silent
		case err != nil:
			return err
		}
		f.attempts.limit = noLimit
		if count > 1 || m.GetHeartbeat() == nil {
			f.attempts.succeeded() // one heartbeat is no progress: each connection begins with one
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
