package restclient

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// LogLine is one line of a run's text log as the WebSocket has it.
type LogLine struct {
	// Text is the line without its newline.
	Text string
	// Truncated says that the line was longer than MaxLogLine.
	Truncated bool
	// Lost says that there is a line here that the Viewer does not show.
	Lost bool
}

// What the Viewers say between the lines, word by word.
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

// replayLimit is the number of lines behind which 0.5 and 0.6 send msgShortened.
const replayLimit = 10_000

var (
	// errNoLogFile says that the run has no log so far, and that this connection
	// will not have one either.
	errNoLogFile = errors.New("the run has no log yet")
	errShortened = errors.New("the viewer shows the last 10000 lines of a log only")
	errIdle      = errors.New("the viewer ends streams of logs that rest for an hour")
)

// logProtocol sorts what comes over one connection into lines and the Viewer's own
// words, which are recognised only where a Viewer says them: texts before which
// nothing came, and texts after which the connection ends.
type logProtocol struct {
	timeouts     logTimeouts
	tailOnly     bool // 0.7: msgShortened comes behind the last lines, not the first
	onReplayDone func()

	lines          int
	waitingForFile bool   // the Viewer waits for the log's file
	pending        *frame // the last message, if the connection ends now

	replayDone     bool // onReplayDone was called
	pinging        bool // the Viewer was silent, and is asked for a sign
	heardSincePing bool // since then
	quietPings     int  // silences in which it gave a sign and said nothing
}

// quietPingsAtEnd is how many pauses show that the replay is over, in a row or with
// new lines between them. One does not: something may have held up the Viewer in
// the middle.
const quietPingsAtEnd = 2

// handleFrame takes the next frame.
func (t *logProtocol) handleFrame(f frame, yield func(LogLine) error) error {
	t.heardSincePing = true
	if err := t.flushPending(yield); err != nil {
		return err
	}
	isFirst := t.lines == 0
	switch {
	case f.text == "": // 0.7 says that it still waits; a blank line of the log is never sent
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

// timeout is how long to wait for the next frame, 0 for ever.
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

// onTimeout takes the end of that time: what was held is a line, who only waited does
// so in vain, and a silence is looked into.
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

// onPong takes the answer to a ping.
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

// flushPending emits the line that was held back, if any.
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

// endError makes the error of a connection that has ended, from the last message.
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
