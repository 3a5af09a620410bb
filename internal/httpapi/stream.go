package httpapi

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"
)

// streamWriter is the answer of one stream, used by the goroutine of its
// request only. It does two things that grpc-gateway cannot: an error before
// the first message is answered as a unary call's is, with all its headers;
// and a browser's reconnect behind the end of a stream is answered by 204.
type streamWriter struct {
	http.ResponseWriter
	// started: a message was written, or is held.
	started bool
	// buffering: a browser has reconnected, and there was nothing but `end` since.
	// EventSource reconnects after every end, and stops only for a 204.
	buffering bool
	buffered  []byte
	// errorWritten: an error was written in place of the stream; what grpc-gateway
	// still writes is for nobody.
	errorWritten bool
}

type streamKey struct{}

// withStream lets grpc-gateway's handler of stream errors, which sees only a
// context, find the answer.
func withStream(ctx context.Context, w *streamWriter) context.Context {
	return context.WithValue(ctx, streamKey{}, w)
}

func streamOf(ctx context.Context) *streamWriter {
	w, _ := ctx.Value(streamKey{}).(*streamWriter)
	return w
}

// beforeMessage is called by grpc-gateway before each message, and once with
// nil before the first.
func beforeMessage(_ context.Context, w http.ResponseWriter, m proto.Message) error {
	if s, ok := w.(*streamWriter); ok && m != nil {
		s.started = true
		if eventName(m) != "end" {
			return s.flushBuffered()
		}
	}
	return nil
}

// flushBuffered writes what was held; from now on nothing is.
func (w *streamWriter) flushBuffered() error {
	if !w.buffering {
		return nil
	}
	w.buffering = false
	if len(w.buffered) == 0 {
		return nil
	}
	_, err := w.ResponseWriter.Write(w.buffered)
	w.buffered = nil
	return err
}

// writeError answers the request by an error instead of the stream.
func (w *streamWriter) writeError(f *apiError) {
	w.errorWritten = true
	writeError(w.ResponseWriter, f)
}

// finish is called when the stream has ended well or its error was written.
func (w *streamWriter) finish() {
	if w.buffering && !w.errorWritten {
		w.Header().Del("Content-Type")
		w.ResponseWriter.WriteHeader(http.StatusNoContent)
	}
}

// Write writes, holds or drops.
func (w *streamWriter) Write(b []byte) (int, error) {
	switch {
	case w.errorWritten:
		return len(b), nil
	case w.buffering:
		w.buffered = append(w.buffered, b...) // at most one `end` for each of 64 runs
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// WriteHeader passes a status on unless the answer is decided otherwise.
func (w *streamWriter) WriteHeader(httpStatus int) {
	if !w.errorWritten && !w.buffering {
		w.ResponseWriter.WriteHeader(httpStatus)
	}
}

// FlushError flushes what was written. http.ResponseController looks for it.
func (w *streamWriter) FlushError() error {
	if w.errorWritten || w.buffering {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
