package httpface

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"
)

// streamWriter is the answer of one stream, used by the goroutine of its
// request only. It does two things that the gateway cannot: an error before
// the first message is answered as a unary call's is, with all its headers;
// and a browser's reconnect behind the end of a stream is answered by 204.
type streamWriter struct {
	http.ResponseWriter
	// begun: a message was written, or is held.
	begun bool
	// hold: a browser has reconnected, and there was nothing but `end` since.
	// EventSource reconnects after every end, and stops only for a 204.
	hold bool
	held []byte
	// answered: an error was written in place of the stream; what the gateway
	// still writes is for nobody.
	answered bool
}

type streamKey struct{}

// withStream lets the gateway's handler of stream errors, which sees only a
// context, find the answer.
func withStream(ctx context.Context, w *streamWriter) context.Context {
	return context.WithValue(ctx, streamKey{}, w)
}

func streamOf(ctx context.Context) *streamWriter {
	w, _ := ctx.Value(streamKey{}).(*streamWriter)
	return w
}

// beforeMessage is called by the gateway before each message, and once with
// nil before the first.
func beforeMessage(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	if s, ok := w.(*streamWriter); ok && m != nil {
		s.begun = true
		if eventName(m) != "end" {
			return s.release()
		}
	}
	return nil
}

// release writes what was held; from now on nothing is.
func (w *streamWriter) release() error {
	if !w.hold {
		return nil
	}
	w.hold = false
	if len(w.held) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(w.held)
	w.held = nil
	return err
}

// fail answers the request by an error instead of the stream.
func (w *streamWriter) fail(f *fault) {
	w.answered = true
	writeFault(w.ResponseWriter, f)
}

// finish is called when the stream has ended well or its error was written.
func (w *streamWriter) finish() {
	if w.hold && !w.answered {
		w.Header().Del("Content-Type")
		w.ResponseWriter.WriteHeader(http.StatusNoContent)
	}
}

// Write writes, holds or drops.
func (w *streamWriter) Write(b []byte) (int, error) {
	switch {
	case w.answered:
		return len(b), nil
	case w.hold:
		w.held = append(w.held, b...) // at most one `end` for each of 64 runs
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// WriteHeader passes a status on unless the answer is decided otherwise.
func (w *streamWriter) WriteHeader(httpStatus int) {
	if !w.answered && !w.hold {
		w.ResponseWriter.WriteHeader(httpStatus)
	}
}

// FlushError flushes what was written. http.ResponseController looks for it.
func (w *streamWriter) FlushError() error {
	if w.answered || w.hold {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
