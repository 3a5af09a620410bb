package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// maxWrite is how many bytes are written under one deadline.
const maxWrite = 64 << 10

// bounds wraps every handler, including the guard: no route waits without limit for a
// body that does not arrive or a client that does not read.
type bounds struct {
	limits Limits
	large  chan struct{} // holds an element for each body that is larger than smallBody
	next   http.Handler
}

// smallBody is the maximum size in bytes of a small body. At most maxLargeBodies larger
// ones, which are rare, are read at the same time.
const (
	smallBody      = 32 << 10
	maxLargeBodies = 64
)

// errLargeBodies is the error for a body beyond maxLargeBodies.
var errLargeBodies = errors.New("too many large bodies are being read")

// ServeHTTP answers one request.
func (b *bounds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &boundedWriter{ResponseWriter: w, control: http.NewResponseController(w), stall: b.limits.WriteStall}
	out.setDeadline()
	defer out.setDeadline() // net/http still has to flush
	r = r.WithContext(context.WithValue(r.Context(), peerKey{}, r.RemoteAddr))
	if r.ContentLength != 0 {
		in := &boundedBody{ReadCloser: r.Body, control: out.control, large: b.large}
		if r.ContentLength > smallBody {
			in.size = smallBody // this much will be read
		}
		_ = in.control.SetReadDeadline(time.Now().Add(b.limits.BodyTimeout)) // fails in some tests
		in.done = b.limits.Pending(func() { _ = in.control.SetReadDeadline(time.Unix(1, 0)) })
		defer in.end()
		r.Body = in
	}
	b.next.ServeHTTP(out, r)
}

// boundedBody is a body with a deadline, which is removed when the body has been read.
// For an unread body the deadline stays, because net/http reads it after the response.
type boundedBody struct {
	io.ReadCloser
	control *http.ResponseController
	done    func()
	large   chan struct{}
	size    int64
	isLarge bool
}

// Read reads, and removes the deadline at the end of the body.
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

// end is called after the response.
func (b *boundedBody) end() {
	b.done()
	if b.isLarge {
		<-b.large
	}
}

// boundedWriter limits how long a client may take to read what is written. Between two
// writes there is no limit, because a stream may be silent.
type boundedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration
}

func (w *boundedWriter) setDeadline() {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.stall)) // fails in some tests
}

func (w *boundedWriter) liftDeadline() { _ = w.control.SetWriteDeadline(time.Time{}) }

// Write writes in parts, so that slow clients have enough time for large responses.
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

// FlushError flushes; http.ResponseController calls it.
func (w *boundedWriter) FlushError() error {
	defer w.liftDeadline()
	w.setDeadline()
	return w.control.Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *boundedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
