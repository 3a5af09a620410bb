package demoviewer

import (
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// The Viewer's messages without a log.
const (
	LogWaiting    = "[info] No logs available yet. Waiting for logs to be created..."
	LogRunMissing = "[error] run not found"
)

// IsSocket reports whether a request is a WebSocket handshake.
func IsSocket(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// SocketRun returns the run in the path of a handshake.
func SocketRun(r *http.Request) (id string, ok bool) {
	id, found := strings.CutPrefix(r.URL.Path, "/api/runs/")
	id, isLog := strings.CutSuffix(id, "/logs/ws")
	return id, found && isLog && id != "" && !strings.Contains(id, "/")
}

// serveSocket sends the current log of a run, and keeps the connection open until the
// client disconnects: no demo run whose log is only served by WebSocket is still being
// written.
func (v *Viewer) serveSocket(w http.ResponseWriter, r *http.Request) {
	id, ok := SocketRun(r)
	if !ok {
		w.WriteHeader(http.StatusForbidden) // as uvicorn answers every other path
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }() // the client may have disconnected
	ctx := conn.CloseRead(context.WithoutCancel(r.Context()))
	lines := strings.Lines(LogWaiting)
	log, _, exists := v.Log(id)
	switch {
	case !exists:
		lines = strings.Lines(LogRunMissing)
	case log != nil:
		lines = strings.Lines(string(log))
	}
	for line := range lines {
		if line = strings.TrimSpace(line); line != "" {
			_ = conn.Write(ctx, websocket.MessageText, []byte(line)) // errors mean that the client has disconnected
		}
	}
	if exists {
		<-ctx.Done()
		return
	}
	_ = conn.Close(websocket.StatusNormalClosure, "") // the client may have disconnected
}

// Log returns the current text log of a run, nil if it has none, and the run's status.
func (v *Viewer) Log(id string) (log []byte, status string, exists bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.Visible(id)
	if r == nil {
		return nil, "", false
	}
	status, _ = r.state(v.clock())
	return r.log(v.clock()), status, true
}
