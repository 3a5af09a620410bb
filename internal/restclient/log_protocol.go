package restclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// LogLine is one line of a run's text log as the WebSocket sends it.
type LogLine struct {
	// Text is the line without its newline.
	Text string
	// Truncated reports that the line was longer than MaxLogLine.
	Truncated bool
	// Lost stands for a line that the Viewer does not send.
	Lost bool
}

// The literal messages that Viewers send between the lines.
const (
	msgWaiting   = "[info] No logs available yet. Waiting for logs to be created..."
	msgAvailable = "[info] Logs are now available, streaming..."
	msgNone      = "[info] No logs available for this run"
	msgNoneYet   = "[info] No logs yet. Run may not produce logs."
	msgShortened = "[info] Showing last 10000 lines. Full log file: logs.txt"
	msgTimeout   = "[info] Connection timeout after 1 hour of inactivity"
	msgNoRun     = "[error] run not found"
	errorPrefix  = "[error] "
)

// replayLimit is the number of lines after which 0.5 and 0.6 send msgShortened.
const replayLimit = 10_000

var (
	// errNoLogFile reports that the run has no log yet and this connection will not send
	// one.
	errNoLogFile = errors.New("the run has no log yet")
	errShortened = errors.New("the viewer sends only the last 10000 lines of a log")
	errIdle      = errors.New("the viewer ends log streams that are idle for an hour")
)

// logProtocol separates the frames of one connection into log lines and the Viewer's own
// messages. A message is recognized only where a Viewer sends it: as the first frame, or as
// the last one before the connection ends.
type logProtocol struct {
	timeouts     logTimeouts
	tailOnly     bool // 0.7: msgShortened comes after the last lines, not the first ones
	onReplayDone func()

	lines          int
	waitingForFile bool   // the Viewer waits for the log file
	pending        *frame // the last message, if the connection ends now; otherwise a line

	replayDone     bool // onReplayDone was called
	pinging        bool // a ping was sent because the Viewer was silent
	heardSincePing bool // a frame or pong has arrived since the ping
	quietPings     int  // pings answered without any line in between
}

// quietPingsAtEnd is how many silent periods with an answered ping show that the replay has
// ended. One is not enough: the Viewer may have been delayed in the middle.
const quietPingsAtEnd = 2

// handleFrame handles the next frame.
func (t *logProtocol) handleFrame(f frame, yield func(LogLine) error) error {
	t.heardSincePing = true
	if err := t.flushPending(yield); err != nil {
		return err
	}
	isFirst := t.lines == 0
	switch {
	case f.text == "": // 0.7 is still waiting for the file; blank lines of the log are never sent
		return nil
	case isFirst && f.text == msgWaiting && !t.waitingForFile:
		t.waitingForFile = true
		t.finishReplay() // there is nothing to replay
		return nil
	case t.waitingForFile && f.text == msgAvailable:
		t.waitingForFile = false
		return nil
	case f.text == msgShortened && t.tailOnly:
		return errShortened
	case f.text == msgShortened && t.lines == replayLimit:
		return t.emit(LogLine{Lost: true}, yield)
	case strings.HasPrefix(f.text, errorPrefix), f.text == msgTimeout, f.text == msgNone, f.text == msgNoneYet:
		t.pending = &f
		return nil
	}
	return t.emit(LogLine{Text: f.text, Truncated: f.truncated}, yield)
}

// timeout returns how long to wait for the next frame, 0 for no limit.
func (t *logProtocol) timeout() time.Duration {
	switch {
	case t.pending != nil:
		return t.timeouts.lastMessage
	case t.waitingForFile:
		return t.timeouts.file
	case t.replayDone || t.pinging:
		return 0
	case t.lines == 0:
		return t.timeouts.first
	}
	return t.timeouts.silence
}

// onTimeout handles the end of that wait: a held frame is a line, a wait for the log file
// fails, and a silence is checked with a ping.
func (t *logProtocol) onTimeout(ping func(), yield func(LogLine) error) error {
	switch {
	case t.pending != nil:
		return t.flushPending(yield)
	case t.waitingForFile:
		return errNoLogFile
	}
	t.pinging, t.heardSincePing = true, false
	ping()
	return nil
}

// onPong handles the answer to a ping.
func (t *logProtocol) onPong() {
	t.pinging = false
	if t.heardSincePing {
		return
	}
	if t.quietPings++; t.quietPings == quietPingsAtEnd {
		t.finishReplay()
	}
}

func (t *logProtocol) finishReplay() {
	if !t.replayDone {
		t.replayDone = true
		t.onReplayDone()
	}
}

// flushPending emits the held frame as a line, if any.
func (t *logProtocol) flushPending(yield func(LogLine) error) error {
	f := t.pending
	if f == nil {
		return nil
	}
	t.pending = nil
	return t.emit(LogLine{Text: f.text, Truncated: f.truncated}, yield)
}

func (t *logProtocol) emit(line LogLine, yield func(LogLine) error) error {
	t.lines++
	t.waitingForFile = false
	return yield(line)
}

// endError returns the error of a connection that has ended, derived from the last message.
func (t *logProtocol) endError(s *logSocket, runID string) error {
	lastMsg := ""
	if t.pending != nil {
		lastMsg = t.pending.text
	}
	x := s.x
	switch {
	case lastMsg == msgNoRun && t.lines == 0:
		return x.wrap(&Error{Kind: KindNotFound, Status: x.status(), Resource: x.r.noun, ResourceID: runID})
	case lastMsg == msgNone, lastMsg == msgNoneYet, lastMsg == "" && t.waitingForFile:
		return errNoLogFile
	case lastMsg == msgTimeout:
		return x.failure(errIdle)
	case lastMsg != "":
		return x.wrap(&Error{Kind: KindServer, Status: x.status(), Detail: scrub.Text(strings.TrimPrefix(lastMsg, errorPrefix), nil)})
	}
	return x.failure(fmt.Errorf("the viewer has closed the log: %w", s.readErr))
}
