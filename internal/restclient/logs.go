package restclient

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// MaxLogLine is the number of bytes that StreamLog keeps of one line: 1 MiB.
const MaxLogLine = 1 << 20

// maxLogStreams limits the WebSockets to one Viewer: each holds a task and two descriptors
// there, and those of idle logs stay for up to an hour after we have disconnected.
const maxLogStreams = 128

// logTimeouts are the timeouts of a log WebSocket.
type logTimeouts struct {
	// lastMessage is how long a text that may be the Viewer's last message is held until
	// the connection ends. The end follows immediately unless the Viewer is busy.
	lastMessage time.Duration
	// file is how long a Viewer that waits for the log file may be silent. All poll every 2
	// s: 0.7 then sends an empty text; 0.5 and 0.6 stay silent for good.
	file time.Duration
	// first is how long a Viewer may take to open the log.
	first time.Duration
	// silence is how long a replay may pause. It must be well below logPoll, because a
	// growing log is never silent for longer than that.
	silence time.Duration
	// reconnectDelay is the first delay before the file is waited for again, and
	// maxReconnectDelay the longest.
	reconnectDelay, maxReconnectDelay time.Duration
	// closeTimeout is how long the Viewer may take to close.
	closeTimeout time.Duration
}

// logPoll is the interval at which Viewers poll a log for new lines. The replay itself has
// no pauses.
const logPoll = 200 * time.Millisecond

func defaultLogTimeouts() logTimeouts {
	return logTimeouts{
		lastMessage: time.Second, file: 3 * time.Second, first: time.Second, silence: 3 * logPoll / 4,
		reconnectDelay: time.Second, maxReconnectDelay: 10 * time.Second, closeTimeout: time.Second,
	}
}

// StreamLog passes all lines of a run's text log, and then new ones, to yield. It ends when
// ctx or the connection ends, or when yield fails, whose error is returned unchanged. It
// never returns nil, because no Viewer reports the end of a log. yield must be fast: pings
// are not answered meanwhile.
//
// Viewers do not mark where the replay of the log ends and new lines begin. onReplayDone is
// called once, when the Viewer has been silent for two periods and has answered a ping in
// each of them without sending a line.
//
// StreamLog is for Viewers that serve no log file. What the WebSocket does to lines cannot
// be undone:
//
//   - Blank lines are left out, invalid UTF-8 is dropped, and each part of a progress
//     line that was written with \r is a line.
//   - A line that was half written when the Viewer polled comes as two.
//   - 0.5 and 0.6 lose line 10,001 of a log that is longer when the stream begins:
//     they read it and send a notice instead. It is reported as Lost.
//   - 0.7 leaves out all but the last 10,000 lines; the stream then fails with
//     KindUnsupported, because its lines cannot be counted.
//   - A user's line that equals a message of the Viewer, where the Viewer sends it,
//     is mistaken for that message.
//
// A run has at most two WebSockets: one that follows its log and one that reads the
// beginning again. A third call waits. No /openapi.json lists WebSockets, so this method
// has no operation line; the test of the operations knows it as a socket.
//
//viewer:socket /api/runs/{run_id}/logs/ws 0.5 0.6 0.7
func (c *Client) StreamLog(ctx context.Context, runID string, yield func(LogLine) error, onReplayDone func()) error {
	release, err := c.logs.acquire(ctx, runID)
	if err != nil {
		return c.newError(capLogStream, KindCanceled, err)
	}
	defer release()
	onReplayDone = sync.OnceFunc(onReplayDone)
	for delay := c.logs.timeouts.reconnectDelay; ; delay = min(2*delay, c.logs.timeouts.maxReconnectDelay) {
		err := c.streamLogOnce(ctx, runID, yield, onReplayDone)
		if !errors.Is(err, errNoLogFile) {
			return err
		}
		if err := sleep(ctx, delay); err != nil {
			return c.newError(capLogStream, KindCanceled, err)
		}
	}
}

// streamLogOnce uses one connection.
func (c *Client) streamLogOnce(ctx context.Context, runID string, yield func(LogLine) error, onReplayDone func()) (err error) {
	s, err := c.openLogSocket(ctx, runID)
	if err != nil {
		c.noteFailure(err)
		return err
	}
	defer func() {
		err = s.close(err)
		c.connLog.onLogStreamEnd(runID, err)
	}()
	protocol := &logProtocol{timeouts: c.logs.timeouts, tailOnly: c.lastCapabilities().Generation == Generation07, onReplayDone: onReplayDone}
	for {
		var expired <-chan time.Time
		if wait := protocol.timeout(); wait > 0 {
			expired = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return s.x.failure(ctx.Err())
		case <-expired:
			err = protocol.onTimeout(s.ping, yield)
		case <-s.pong:
			protocol.onPong()
		case received, ok := <-s.frames:
			if !ok {
				return protocol.endError(s, runID)
			}
			s.x.read += received.size
			err = protocol.handleFrame(received, yield)
		}
		if errors.Is(err, errShortened) {
			err = s.x.wrap(&Error{Kind: KindUnsupported, Status: s.x.status(), Alternative: "read the log file", Err: err})
		}
		if err != nil {
			return err
		}
	}
}

// runLogStreams is the maximum number of concurrent streams of one run's log.
const runLogStreams = 2

// logStreams limits the streams of one Viewer, and of each run.
type logStreams struct {
	timeouts logTimeouts
	slots    chan struct{}

	mu   sync.Mutex
	open map[string]*runStreams
}

// runStreams limits the streams of one run.
type runStreams struct {
	slots chan struct{}
	users int // that have a slot or wait; guarded by logStreams.mu
}

func newLogStreams() *logStreams {
	return &logStreams{
		timeouts: defaultLogTimeouts(), slots: make(chan struct{}, maxLogStreams),
		open: make(map[string]*runStreams),
	}
}

// acquire waits for a slot for another stream of the run.
func (l *logStreams) acquire(ctx context.Context, runID string) (release func(), err error) {
	run := l.addUser(runID)
	for _, slots := range []chan struct{}{run.slots, l.slots} {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			if slots == l.slots {
				<-run.slots
			}
			l.removeUser(runID, run)
			return nil, fmt.Errorf("wait for another stream of a log to end: %w", ctx.Err())
		}
	}
	return func() {
		<-l.slots
		<-run.slots
		l.removeUser(runID, run)
	}, nil
}

func (l *logStreams) addUser(runID string) *runStreams {
	l.mu.Lock()
	defer l.mu.Unlock()
	run, ok := l.open[runID]
	if !ok {
		run = &runStreams{slots: make(chan struct{}, runLogStreams)}
		l.open[runID] = run
	}
	run.users++
	return run
}

func (l *logStreams) removeUser(runID string, run *runStreams) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if run.users--; run.users == 0 {
		delete(l.open, runID)
	}
}
