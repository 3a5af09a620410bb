package demotest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// The Viewer's messages between the lines of a log, and their limits.
const (
	logReplay     = 10_000 // nominal number of lines that it replays
	maxFileChecks = 6      // how often 0.7 checks for a missing file
	logAvailable  = "[info] Logs are now available, streaming..."
	logNone       = "[info] No logs available for this run"
	logNoneYet    = "[info] No logs yet. Run may not produce logs."
	logShortened  = "[info] Showing last 10000 lines. Full log file: logs.txt"
)

// socketName is the key of the log WebSocket in the counts; no /openapi.json lists it.
const socketName = "WS /api/runs/{run_id}/logs/ws"

// sockets are the open log WebSockets, and their maximum number.
type sockets struct {
	open map[*websocket.Conn]bool
	most int
}

// LogSockets returns the current and the maximum number of open log WebSockets.
func (v *Viewer) LogSockets() (open, most int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.sockets.open), v.sockets.most
}

// CloseLogs cuts all log WebSockets, like a killed Viewer.
func (v *Viewer) CloseLogs() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for conn := range v.sockets.open {
		_ = conn.CloseNow() // the client may have closed it
	}
}

// serveSocket serves a handshake. Every path other than that of a log is 403, as in
// uvicorn.
func (v *Viewer) serveSocket(w http.ResponseWriter, r *http.Request) {
	id, ok := demoviewer.SocketRun(r)
	if !ok {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	v.mu.Lock()
	v.counts[socketName]++
	v.sockets.open[conn] = true
	v.sockets.most = max(v.sockets.most, len(v.sockets.open))
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.sockets.open, conn)
	}()
	ctx := conn.CloseRead(context.WithoutCancel(r.Context()))
	s := &logSocket{v: v, conn: conn, id: id}
	v.Locked(func() { s.sqlite = v.Release() == Gen07 })
	if s.serve(ctx) {
		<-ctx.Done() // 0.5 and 0.6 keep the connection open after they have failed
	}
	if ctx.Err() != nil {
		_ = conn.CloseNow() // cut, or closed by the client
		return
	}
	_ = conn.Close(websocket.StatusNormalClosure, "") // the client may have disconnected
}

// logSocket is one log WebSocket. The task that a real Viewer leaks when the client of an
// idle log disconnects is not copied.
type logSocket struct {
	v      *Viewer
	conn   *websocket.Conn
	id     string
	sqlite bool // whether it is 0.7
	sent   int  // bytes of the log
	// afterCR reports that the last sent character was \r, which \n may follow.
	afterCR bool
}

// serve sends the log. abandoned reports a failed wait, after which 0.5 and 0.6 keep the
// connection open.
func (s *logSocket) serve(ctx context.Context) (abandoned bool) {
	log, status, exists := s.v.Log(s.id)
	if !exists {
		s.send(ctx, demoviewer.LogRunMissing)
		return false
	}
	if log == nil {
		if s.sqlite && status != "running" {
			s.send(ctx, logNone)
			return false
		}
		var found bool
		if found, abandoned = s.waitForFile(ctx); !found {
			return abandoned
		}
		log, _, _ = s.v.Log(s.id)
	}
	s.replay(ctx, log)
	s.follow(ctx)
	return false
}

// waitForFile waits for the file: 0.5 and 0.6 check once, and then fail silently.
func (s *logSocket) waitForFile(ctx context.Context) (found, abandoned bool) {
	s.send(ctx, demoviewer.LogWaiting)
	keepsChecking := s.sqlite
	for check := 0; ; check++ {
		if check == maxFileChecks {
			s.send(ctx, logNoneYet)
			return false, false
		}
		if !sleep(ctx, s.v.logWait) {
			return false, false
		}
		if log, _, _ := s.v.Log(s.id); log != nil {
			s.send(ctx, logAvailable)
			return true, false
		}
		if !keepsChecking {
			return false, true
		}
		s.send(ctx, "")
	}
}

// replay sends the existing lines: 0.5 and 0.6 lose the line after the first 10,000, 0.7
// all but the last 10,000.
func (s *logSocket) replay(ctx context.Context, log []byte) {
	s.sent, s.afterCR = len(log), bytes.HasSuffix(log, []byte("\r"))
	lines := splitLines(log)
	if s.sqlite {
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

// follow sends new lines, incomplete ones included, until the client disconnects.
func (s *logSocket) follow(ctx context.Context) {
	const poll = 5 * time.Millisecond
	for {
		log, _, _ := s.v.Log(s.id)
		if len(log) < s.sent {
			s.sent = len(log) // real Viewers do not read a truncated file again
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
		if !sleep(ctx, poll) {
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

// send sends a text. Errors mean that the client has disconnected, which ends ctx too.
func (s *logSocket) send(ctx context.Context, text string) {
	_ = s.conn.Write(ctx, websocket.MessageText, []byte(text))
}

// splitLines splits like Python: \n, \r and \r\n end a line, and invalid UTF-8 is dropped.
func splitLines(raw []byte) []string {
	text := strings.ToValidUTF8(string(raw), "")
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// sleep waits; false means that the connection has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
