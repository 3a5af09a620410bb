package demoviewer

import "net/http"

// unreachable is the answer of routes that connect over SSH: the demo has no server to
// connect to.
func unreachable(_ *Viewer, c *Call) Answer {
	host := c.Fields().Text("host")
	return Detail(http.StatusInternalServerError, "Connection failed: ssh: connect to host "+host+": Connection refused")
}

// disconnect is POST /api/remote/disconnect: an unknown connection is a 200 with ok:false.
func disconnect(*Viewer, *Call) Answer {
	return OK(map[string]any{"ok": false, "message": "Connection not found"})
}

// stopViewer is POST /api/remote/viewer/stop.
func stopViewer(_ *Viewer, c *Call) Answer {
	return Detail(http.StatusNotFound, "Session not found: "+c.Fields().Text("session_id"))
}
