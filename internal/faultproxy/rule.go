package faultproxy

import (
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Rule says which requests to break, and how: by its own response or by a connection reset.
// Set the fields before adding the rule.
type Rule struct {
	// Path is the prefix of the decoded paths that match; empty matches all.
	Path string
	// Times is the number of requests to which the rule applies; 0 means no limit.
	Times int

	// Hold delays matching requests until it is closed; nil means no delay.
	Hold <-chan struct{}
	// Held, unless nil, is closed when the first request arrives.
	Held chan struct{}
	// Status responds with this status and Body as JSON instead of forwarding; 0 forwards.
	Status int
	Body   string
	// ResetAfter resets the connection after so many bytes of the target's body. A rule
	// with Hold alone forwards the request afterwards.
	ResetAfter int

	used int // guarded by the proxy's lock
}

// use reports whether the rule applies, and counts the use. The proxy's lock must be held.
func (r *Rule) use(req *http.Request) bool {
	if !strings.HasPrefix(req.URL.Path, r.Path) || r.Times > 0 && r.used >= r.Times {
		return false
	}
	if r.used++; r.used == 1 && r.Held != nil {
		close(r.Held)
	}
	return true
}

// hold delays a request until it is released or the client disconnects.
func (r *Rule) hold(req *http.Request) {
	select {
	case <-r.Hold:
	case <-req.Context().Done():
	}
}

// handler serves requests by the matching rule or by the target.
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
		_, _ = io.WriteString(w, rule.Body) // the client may have disconnected
	default:
		f.upstream.ServeHTTP(&resetWriter{ResponseWriter: w, left: rule.ResetAfter}, r)
	}
}

// resetWriter resets the connection after a number of body bytes.
type resetWriter struct {
	http.ResponseWriter
	left int
}

// Unwrap lets the response controller reach the connection.
func (w *resetWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write forwards a piece of the body, up to the reset.
func (w *resetWriter) Write(piece []byte) (int, error) {
	n, err := w.ResponseWriter.Write(piece[:min(len(piece), w.left)])
	if w.left -= n; err == nil && w.left == 0 {
		w.reset()
	}
	return n, err
}

// reset closes the connection with an RST.
func (w *resetWriter) reset() {
	control := http.NewResponseController(w.ResponseWriter)
	_ = control.Flush() // fails if the client has disconnected
	if conn, _, err := control.Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // makes Close send an RST; an orderly close also truncates the body
		}
		_ = conn.Close() // the client may have closed it first
	}
	panic(http.ErrAbortHandler)
}
