package faultproxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Rule says which calls to break, and how: by an answer of its own, or by a
// connection that is reset. Set the fields before the rule is added.
type Rule struct {
	// Path is the beginning of the decoded paths that match; empty means all.
	Path string
	// Times is for how many calls the rule holds; 0 means for ever.
	Times int

	// Hold keeps the call until it is closed; nil does not.
	Hold <-chan struct{}
	// Held is closed when the first call has come; nil is not.
	Held chan struct{}
	// Status answers this status with a Body of JSON, in place of what is behind; 0
	// means to ask it.
	Status int
	Body   string
	// ResetAfter resets the connection after so many bytes of the body that comes from
	// behind. A rule with Hold and neither of these passes the call on.
	ResetAfter int

	used int // guarded by the proxy's lock
}

// use tells whether the rule applies, and uses it up by one. Called with the proxy's lock held.
func (r *Rule) use(req *http.Request) bool {
	if !strings.HasPrefix(req.URL.Path, r.Path) || r.Times > 0 && r.used >= r.Times {
		return false
	}
	if r.used++; r.used == 1 && r.Held != nil {
		close(r.Held)
	}
	return true
}

// hold keeps a call until it is let go, or the client has gone.
func (r *Rule) hold(req *http.Request) {
	select {
	case <-r.Hold:
	case <-req.Context().Done():
	}
}

// handler answers calls: by the rule that matches, or by what is behind.
type handler struct {
	proxy    *Proxy
	upstream *httputil.ReverseProxy
}

// ServeHTTP implements http.Handler.
func (f *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := f.proxy.match(r)
	if rule != nil && rule.Hold != nil {
		rule.hold(r)
	}
	switch {
	case rule == nil, rule.Hold != nil && rule.Status == 0 && rule.ResetAfter == 0:
		f.upstream.ServeHTTP(w, r)
	case rule.Status != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(rule.Status)
		_, _ = io.WriteString(w, rule.Body) // the client may have gone
	default:
		f.upstream.ServeHTTP(&resetWriter{ResponseWriter: w, left: rule.ResetAfter}, r)
	}
}

// resetWriter resets the connection when so many bytes of the body have passed.
type resetWriter struct {
	http.ResponseWriter
	left int
}

// Unwrap lets the response controller reach the connection.
func (w *resetWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write passes a piece of the body, as far as the connection lives.
func (w *resetWriter) Write(piece []byte) (int, error) {
	n, err := w.ResponseWriter.Write(piece[:min(len(piece), w.left)])
	if w.left -= n; err == nil && w.left == 0 {
		w.reset()
	}
	return n, err
}

// reset ends the connection by RST.
func (w *resetWriter) reset() {
	control := http.NewResponseController(w.ResponseWriter)
	_ = control.Flush() // fails where the client has gone
	if conn, _, err := control.Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing then resets; without it the close is in order, which is cut off too
		}
		_ = conn.Close() // the client may have closed first
	}
	panic(http.ErrAbortHandler)
}
