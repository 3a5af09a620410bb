package demoviewer

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// What the Viewer says between the lines of a log, and when.
const (
	logReplay     = 10_000 // lines that it replays, in its own opinion
	maxFileChecks = 6      // how often 0.7 looks for a missing file
	logWaiting    = "[info] No logs available yet. Waiting for logs to be created..."
	logAvailable  = "[info] Logs are now available, streaming..."
	logNone       = "[info] No logs available for this run"
	logNoneYet    = "[info] No logs yet. Run may not produce logs."
	logShortened  = "[info] Showing last 10000 lines. Full log file: logs.txt"
	logRunMissing = "[error] run not found"
)

// socketName is the key of the log WebSocket in the counts; no /openapi.json lists it.
const socketName = "WS /api/runs/{run_id}/logs/ws"

// isSocket tells a handshake from a plain request.
func isSocket(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// LogSockets tells how many log WebSockets are open, and how many were at most.
func (v *Viewer) LogSockets() (open, most int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sockets.open, v.sockets.maxOpen
}

// CloseLogs cuts all log WebSockets, as a Viewer that is killed does.
func (v *Viewer) CloseLogs() {
	v.mu.Lock()
	defer v.mu.Unlock()
	close(v.sockets.cut)
	v.sockets.cut = make(chan struct{})
}

// sockets is what the Viewer knows of its log WebSockets.
type sockets struct {
	open, maxOpen int
	cut           chan struct{} // closed to end all of them
	changed       chan struct{} // closed and replaced when a log was written to
}

func newSockets() sockets {
	return sockets{cut: make(chan struct{}), changed: make(chan struct{})}
}

// notify wakes the log WebSockets. Called with mu held.
func (v *Viewer) notify() {
	close(v.sockets.changed)
	v.sockets.changed = make(chan struct{})
}

// serveSocket serves a handshake. Every other path than that of a log is 403, as uvicorn has it.
func (v *Viewer) serveSocket(w http.ResponseWriter, r *http.Request) {
	id, found := strings.CutPrefix(r.URL.Path, "/api/runs/")
	id, isLog := strings.CutSuffix(id, "/logs/ws")
	if !found || !isLog || id == "" || strings.Contains(id, "/") {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	cut := v.openSocket()
	defer v.closeSocket()
	ctx, cancel := context.WithCancel(conn.CloseRead(context.WithoutCancel(r.Context())))
	defer cancel()
	go func() {
		select {
		case <-cut:
			cancel()
		case <-ctx.Done():
		}
	}()
	s := &logSocket{v: v, conn: conn, id: id}
	if s.serve(ctx) {
		<-ctx.Done() // 0.5 and 0.6 keep a connection open that they have forgotten
	}
	if ctx.Err() != nil {
		_ = conn.CloseNow() // cut, or left by the client
		return
	}
	_ = conn.Close(websocket.StatusNormalClosure, "") // the client may have gone meanwhile
}

func (v *Viewer) openSocket() (cut <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts[socketName]++
	v.sockets.open++
	v.sockets.maxOpen = max(v.sockets.maxOpen, v.sockets.open)
	return v.sockets.cut
}

func (v *Viewer) closeSocket() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sockets.open--
}

// logSocket is one log WebSocket. The task that a real Viewer leaks when the client of an idle log goes is not copied.
type logSocket struct {
	v    *Viewer
	conn *websocket.Conn
	id   string
	sent int // bytes of the log
	// afterCR says that the last character sent was \r, whose \n may follow.
	afterCR bool
}

// snapshot returns the log of the run as it is now, what tells of changes, and how the run is.
func (s *logSocket) snapshot() (log []byte, changed <-chan struct{}, ended, exists bool) {
	s.v.mu.Lock()
	defer s.v.mu.Unlock()
	r := s.v.store().visible(s.id)
	if r == nil {
		return nil, s.v.sockets.changed, false, false
	}
	status, _ := r.state(s.v.clock())
	return r.log(s.v.clock()), s.v.sockets.changed, status != "running", true
}

// serve says everything; false means that the Viewer closes the connection then.
func (s *logSocket) serve(ctx context.Context) (abandoned bool) {
	log, _, ended, exists := s.snapshot()
	if !exists {
		s.send(ctx, logRunMissing)
		return false
	}
	if log == nil {
		if s.v.generation().sqlite && ended {
			s.send(ctx, logNone)
			return false
		}
		var found bool
		if found, abandoned = s.waitForFile(ctx); !found {
			return abandoned
		}
		log, _, _, _ = s.snapshot()
	}
	s.replay(ctx, log)
	s.follow(ctx)
	return false
}

// waitForFile waits for the file: 0.5 and 0.6 look once, and then fail in silence.
func (s *logSocket) waitForFile(ctx context.Context) (found, abandoned bool) {
	s.send(ctx, logWaiting)
	keepsChecking := s.v.generation().sqlite
	for check := 0; ; check++ {
		if check == maxFileChecks {
			s.send(ctx, logNoneYet)
			return false, false
		}
		if !sleepUntil(ctx, s.v.logWait, nil) {
			return false, false
		}
		if log, _, _, exists := s.snapshot(); exists && log != nil {
			s.send(ctx, logAvailable)
			return true, false
		}
		if !keepsChecking {
			return false, true
		}
		s.send(ctx, "")
	}
}

// replay sends what there is: 0.5 and 0.6 lose the line behind the first 10,000, 0.7 all but the last.
func (s *logSocket) replay(ctx context.Context, log []byte) {
	s.sent, s.afterCR = len(log), bytes.HasSuffix(log, []byte("\r"))
	lines := splitLines(log)
	if s.v.generation().sqlite {
		for _, line := range lines[max(len(lines)-logReplay, 0):] {
			s.line(ctx, line)
		}
		if len(lines) > logReplay {
			s.send(ctx, logShortened)
		}
		return
	}
	sent := 0
	for _, line := range lines {
		switch {
		case sent == logReplay:
			s.send(ctx, logShortened)
			sent++
		case s.line(ctx, line):
			sent++
		}
	}
}

// follow sends what comes, half lines included, until the client leaves.
func (s *logSocket) follow(ctx context.Context) {
	const poll = 200 * time.Millisecond // for logs that a clock writes
	for {
		log, wrote, _, _ := s.snapshot()
		if len(log) < s.sent {
			s.sent = len(log) // no real Viewer reads a file again that was cut
		}
		fresh := log[s.sent:]
		s.sent = len(log)
		if s.afterCR {
			fresh = bytes.TrimPrefix(fresh, []byte("\n"))
		}
		if len(fresh) > 0 {
			s.afterCR = bytes.HasSuffix(fresh, []byte("\r"))
		}
		for _, line := range splitLines(fresh) {
			s.line(ctx, line)
		}
		if !sleepUntil(ctx, poll, wrote) {
			return
		}
	}
}

// line sends a line unless it is blank.
func (s *logSocket) line(ctx context.Context, line string) bool {
	if strings.TrimSpace(line) == "" {
		return false
	}
	s.send(ctx, line)
	return true
}

// send sends a text. A failing write means that the client has gone, which ctx says too.
func (s *logSocket) send(ctx context.Context, text string) {
	_ = s.conn.Write(ctx, websocket.MessageText, []byte(text))
}

// splitLines reads as Python does: any of \n, \r and \r\n ends a line, and what is not UTF-8 is dropped.
func splitLines(raw []byte) []string {
	text := strings.ToValidUTF8(string(raw), "")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// sleepUntil waits for a time or a sign; false means that the connection has ended.
func sleepUntil(ctx context.Context, d time.Duration, sign <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-sign:
	case <-ctx.Done():
		return false
	}
	return true
}

// generation is the one that the Viewer is now.
func (v *Viewer) generation() *generation {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.gen
}
