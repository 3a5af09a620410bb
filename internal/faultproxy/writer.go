package faultproxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// errCut ends the copying of a body.
var errCut = errors.New("faultproxy: cut")

// handler answers calls: by the rule that matches, or by what is behind.
type handler struct {
	proxy    *Proxy
	upstream *httputil.ReverseProxy
}

// ServeHTTP implements http.Handler.
func (f *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rule := f.proxy.match(r)
	if rule == nil {
		f.upstream.ServeHTTP(w, r)
		return
	}
	if rule.Hold != nil && !rule.Hold.wait(r.Context().Done(), f.proxy.closed) {
		panic(http.ErrAbortHandler)
	}
	if !f.sleep(r, rule.Delay) {
		panic(http.ErrAbortHandler)
	}
	switch {
	case rule.Garbage:
		rule.writeRaw(w, rule.Body)
	case rule.Status != 0:
		rule.answer(&faultyWriter{ResponseWriter: w, handler: f, request: r, rule: rule})
	case rule.changesResponse():
		f.upstream.ServeHTTP(&faultyWriter{ResponseWriter: w, handler: f, request: r, rule: rule}, r)
	default:
		f.upstream.ServeHTTP(w, r)
	}
}

// changesResponse tells whether the rule changes what the server behind answers.
func (r *Rule) changesResponse() bool {
	return r.BytesPerSecond > 0 || r.Pause > 0 || r.Cut != CutNone || len(r.Header) > 0 || r.ContentLength > 0
}

// answer writes the rule's own answer.
func (r *Rule) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(r.Status)
	// An error is the rule's own cut, or a client that has gone.
	_, _ = io.WriteString(w, r.Body)
}

// writeRaw writes raw bytes to the connection and closes it.
func (r *Rule) writeRaw(w http.ResponseWriter, raw string) {
	conn := hijack(w)
	// Errors mean that the client has gone.
	_, _ = io.WriteString(conn, raw)
	_ = conn.Close()
}

// hijack takes the connection out of the server's hands.
func hijack(w http.ResponseWriter) net.Conn {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = buffered.Flush() // what the server still held; the connection may be gone already
	return conn
}

// sleep waits, unless the caller goes or the proxy closes.
func (f *handler) sleep(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	case <-f.proxy.closed:
		return false
	}
}

// faultyWriter is a response writer that breaks what goes through it.
type faultyWriter struct {
	http.ResponseWriter
	handler *handler
	request *http.Request
	rule    *Rule
	sent    int
	done    bool // CutShort: the rest is swallowed
}

// Unwrap lets the response controller reach the connection, for upgrades.
func (w *faultyWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError sends what was written. After a cut the connection is no longer the server's to flush.
func (w *faultyWriter) FlushError() error {
	if w.done {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// WriteHeader adds the rule's headers.
func (w *faultyWriter) WriteHeader(status int) {
	h := w.Header()
	switch {
	case w.rule.ContentLength > 0:
		h.Set("Content-Length", strconv.Itoa(w.rule.ContentLength))
	case w.rule.Cut == CutShort:
		h.Del("Content-Length")
	}
	for name, value := range w.rule.Header {
		h.Set(name, value)
	}
	w.ResponseWriter.WriteHeader(status)
	if w.rule.Cut != CutNone && w.rule.CutAfter == 0 {
		w.cut()
	}
}

// Write passes a piece of the body, as far and as fast as the rule lets it.
func (w *faultyWriter) Write(piece []byte) (int, error) {
	if w.done {
		return len(piece), nil
	}
	whole := len(piece)
	for len(piece) > 0 {
		part := piece[:w.nextChunk(len(piece))]
		if !w.wait(len(part)) {
			return whole - len(piece), errCut
		}
		n, err := w.ResponseWriter.Write(part)
		w.sent += n
		if err != nil {
			return whole - len(piece) + n, err
		}
		if w.rule.Cut != CutNone && w.sent >= w.rule.CutAfter {
			w.cut()
			return whole, nil
		}
		piece = piece[n:]
	}
	return whole, nil
}

// nextChunk is how much of n bytes may go at once: up to the cut, and a tenth of a second's worth.
func (w *faultyWriter) nextChunk(n int) int {
	if w.rule.Cut != CutNone {
		n = min(n, w.rule.CutAfter-w.sent)
	}
	if w.rule.BytesPerSecond > 0 {
		n = min(n, max(w.rule.BytesPerSecond/10, 1))
	}
	return n
}

// wait sends what was written so far, and waits as long as the rule says for the next n bytes.
func (w *faultyWriter) wait(n int) bool {
	pause := w.rule.Pause
	if w.rule.BytesPerSecond > 0 {
		pause += time.Duration(n) * time.Second / time.Duration(w.rule.BytesPerSecond)
	}
	if pause == 0 {
		return true
	}
	if err := w.FlushError(); err != nil {
		return false
	}
	return w.handler.sleep(w.request, pause)
}

// cut ends the body in the rule's way.
func (w *faultyWriter) cut() {
	defer func() { w.done = true }()
	if w.rule.Cut == CutShort {
		return
	}
	if err := w.FlushError(); err != nil {
		panic(http.ErrAbortHandler)
	}
	conn := hijack(w.ResponseWriter)
	if tcp, isTCP := conn.(*net.TCPConn); isTCP && w.rule.Cut == CutReset {
		_ = tcp.SetLinger(0) // closing then resets; without it the close is in order, which the client survives too
	}
	_ = conn.Close() // the client may have closed first
}
