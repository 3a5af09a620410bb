package restclient

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// LogLine is one line of a run's text log as the WebSocket has it.
type LogLine struct {
	// Text is the line without its newline.
	Text string
	// IsCut says that the line was longer than MaxLogLine.
	IsCut bool
	// IsLost says that there is a line here that the Viewer does not show.
	IsLost bool
}

// What the Viewers say between the lines, word by word.
const (
	sayWaiting   = "[info] No logs available yet. Waiting for logs to be created..."
	sayAvailable = "[info] Logs are now available, streaming..."
	sayNone      = "[info] No logs available for this run"
	sayNoneYet   = "[info] No logs yet. Run may not produce logs."
	sayShortened = "[info] Showing last 10000 lines. Full log file: logs.txt"
	sayTimeout   = "[info] Connection timeout after 1 hour of inactivity"
	sayNoRun     = "[error] run not found"
	errorPrefix  = "[error] "
)

// replayLimit is the number of lines behind which 0.5 and 0.6 send sayShortened.
const replayLimit = 10_000

var (
	// errNoLogFile says that the run has no log so far, and that this connection
	// will not have one either.
	errNoLogFile = errors.New("the run has no log yet")
	errShortened = errors.New("the viewer shows the last 10000 lines of a log only")
	errIdle      = errors.New("the viewer ends streams of logs that rest for an hour")
)

// logTalk sorts what comes over one connection into lines and the Viewer's own
// words, which are recognised only where a Viewer says them: texts before which
// nothing came, and texts after which the connection ends.
type logTalk struct {
	patience   logPatience
	isTailOnly bool // 0.7: sayShortened comes behind the last lines, not the first
	atRest     func()

	lines     int
	isWaiting bool   // the Viewer waits for the log's file
	held      *frame // the last word, if the connection ends now

	hasRested bool // atRest was called
	isPinging bool // the Viewer was silent, and is asked for a sign
	hasSpoken bool // since then
	pauses    int  // silences in which it gave a sign and said nothing
}

// pausesAtRest is how many pauses show that the replay is over, in a row or with
// new lines between them. One does not: something may have held up the Viewer in
// the middle.
const pausesAtRest = 2

// hear takes the next frame.
func (t *logTalk) hear(f frame, yield func(LogLine) error) error {
	t.hasSpoken = true
	if err := t.release(yield); err != nil {
		return err
	}
	isFirst := t.lines == 0
	switch {
	case f.text == "": // 0.7 says that it still waits; a blank line of the log is never sent
		return nil
	case isFirst && f.text == sayWaiting && !t.isWaiting:
		t.isWaiting = true
		t.rest() // there is nothing to replay
		return nil
	case t.isWaiting && f.text == sayAvailable:
		t.isWaiting = false
		return nil
	case f.text == sayShortened && t.isTailOnly:
		return errShortened
	case f.text == sayShortened && t.lines == replayLimit:
		return t.say(LogLine{IsLost: true}, yield)
	case strings.HasPrefix(f.text, errorPrefix), f.text == sayTimeout, f.text == sayNone, f.text == sayNoneYet:
		t.held = &f
		return nil
	}
	return t.say(LogLine{Text: f.text, IsCut: f.isCut}, yield)
}

// wait is how long to wait for the next frame, 0 for ever.
func (t *logTalk) wait() time.Duration {
	switch {
	case t.held != nil:
		return t.patience.control
	case t.isWaiting:
		return t.patience.file
	case t.hasRested || t.isPinging:
		return 0
	case t.lines == 0:
		return t.patience.first
	}
	return t.patience.silence
}

// expire takes the end of that time: what was held is a line, who only waited does
// so in vain, and a silence is looked into.
func (t *logTalk) expire(ping func(), yield func(LogLine) error) error {
	switch {
	case t.held != nil:
		return t.release(yield)
	case t.isWaiting:
		return errNoLogFile
	}
	t.isPinging, t.hasSpoken = true, false
	ping()
	return nil
}

// pong takes the answer to a ping.
func (t *logTalk) pong() {
	t.isPinging = false
	if t.hasSpoken {
		return
	}
	if t.pauses++; t.pauses == pausesAtRest {
		t.rest()
	}
}

func (t *logTalk) rest() {
	if !t.hasRested {
		t.hasRested = true
		t.atRest()
	}
}

// release says the line that was held, if any.
func (t *logTalk) release(yield func(LogLine) error) error {
	f := t.held
	if f == nil {
		return nil
	}
	t.held = nil
	return t.say(LogLine{Text: f.text, IsCut: f.isCut}, yield)
}

func (t *logTalk) say(line LogLine, yield func(LogLine) error) error {
	t.lines++
	t.isWaiting = false
	return yield(line)
}

// end makes the error of a connection that has ended, from the last word.
func (t *logTalk) end(s *logSocket, runID string) error {
	lastWord := ""
	if t.held != nil {
		lastWord = t.held.text
	}
	x := s.x
	switch {
	case lastWord == sayNoRun && t.lines == 0:
		return x.wrap(&Error{Kind: KindNotFound, Status: x.status(), Resource: x.r.noun, ResourceID: runID})
	case lastWord == sayNone, lastWord == sayNoneYet, lastWord == "" && t.isWaiting:
		return errNoLogFile
	case lastWord == sayTimeout:
		return x.failure(errIdle)
	case lastWord != "":
		return x.wrap(&Error{Kind: KindServer, Status: x.status(), Detail: scrub(strings.TrimPrefix(lastWord, errorPrefix), nil)})
	}
	return x.failure(fmt.Errorf("the viewer has closed the log: %w", s.failed))
}
