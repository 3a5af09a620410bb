package demoviewer

import (
	"context"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// What the Viewer says where there is no log.
const (
	LogWaiting    = "[info] No logs available yet. Waiting for logs to be created..."
	LogRunMissing = "[error] run not found"
)

// IsSocket tells a handshake from a plain request.
func IsSocket(r *http.Request) bool { return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") }

// SocketRun is the run whose log a handshake asks for.
func SocketRun(r *http.Request) (id string, ok bool) {
	id, found := strings.CutPrefix(r.URL.Path, "/api/runs/")
	id, isLog := strings.CutSuffix(id, "/logs/ws")
	return id, found && isLog && id != "" && !strings.Contains(id, "/")
}

// serveSocket says the log of a run as it is, and holds the connection until the client leaves: no run of the demo whose
// log is served by WebSocket only still writes it.
func (v *Viewer) serveSocket(w http.ResponseWriter, r *http.Request) {
	id, ok := SocketRun(r)
	if !ok {
		w.WriteHeader(http.StatusForbidden) // as uvicorn has it for every other path
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }() // the client may have gone
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
			_ = conn.Write(ctx, websocket.MessageText, []byte(line)) // a failing write means that the client has gone
		}
	}
	if exists {
		<-ctx.Done()
		return
	}
	_ = conn.Close(websocket.StatusNormalClosure, "") // the client may have gone meanwhile
}

// Log is the text log of a run as it is now, nil if it has none, and how the run is.
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
