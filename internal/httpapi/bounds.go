package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// maxWrite is how much is written under one deadline.
const maxWrite = 64 << 10

// bounds stands before everything, the guard too: no route waits for ever for a body
// that does not come or for a client that does not read.
type bounds struct {
	limits Limits
	large  chan struct{} // holds an element for each body that is larger than smallBody
	next   http.Handler
}

// smallBody is what every body may take, in bytes; only maxLargeBodies at once may
// take more. Hardly a request is that large.
const (
	smallBody      = 32 << 10
	maxLargeBodies = 64
)

// errLargeBodies is the error of a body that is one too many.
var errLargeBodies = errors.New("too many large bodies are being read")

// ServeHTTP answers one request.
func (b *bounds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &boundedWriter{ResponseWriter: w, control: http.NewResponseController(w), stall: b.limits.WriteStall}
	out.setDeadline()
	defer out.setDeadline() // net/http has a rest to flush
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, r.RemoteAddr))
	if r.ContentLength != 0 {
		in := &boundedBody{ReadCloser: r.Body, control: out.control, large: b.large}
		if r.ContentLength > smallBody {
			in.size = smallBody // it will be
		}
		_ = in.control.SetReadDeadline(time.Now().Add(b.limits.BodyTimeout)) // not in some tests
		in.done = b.limits.Pending(func() { _ = in.control.SetReadDeadline(time.Unix(1, 0)) })
		defer in.end()
		r.Body = in
	}
	b.next.ServeHTTP(out, r)
}

// boundedBody is a body under a deadline that is lifted at its end. A body that is
// not read keeps it: net/http reads it when the answer is out.
type boundedBody struct {
	io.ReadCloser
	control *http.ResponseController
	done    func()
	large   chan struct{}
	size    int64
	isLarge bool
}

// Read reads, and lifts the deadline at the end.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.size >= smallBody && !b.isLarge {
		select {
		case b.large <- struct{}{}:
			b.isLarge = true
		default:
			return 0, errLargeBodies
		}
	}
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	if errors.Is(err, io.EOF) {
		b.done()
		_ = b.control.SetReadDeadline(time.Time{}) // as above
	}
	return n, err
}

// end is called when the request is answered.
func (b *boundedBody) end() {
	b.done()
	if b.isLarge {
		<-b.large
	}
}

// boundedWriter gives a client a time to read what is written; between two writes there
// is none, for a stream may be silent.
type boundedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (w *boundedWriter) setDeadline() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) // not in some tests
}

func (w *boundedWriter) liftDeadline() { _ = w.control.SetWriteDeadline(time.Time{}) }

// Write writes in pieces, so that slow clients have time for large answers.
func (w *boundedWriter) Write(b []byte) (written int, err error) {
	defer w.liftDeadline()
	for {
		w.setDeadline()
		piece := b[written:min(len(b), written+maxWrite)]
		n, err := w.ResponseWriter.Write(piece)
		if written += n; err != nil || written == len(b) {
			return written, err
		}
	}
}

// FlushError flushes. http.ResponseController looks for it.
func (w *boundedWriter) FlushError() error {
	defer w.liftDeadline()
	w.setDeadline()
	return w.control.Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
