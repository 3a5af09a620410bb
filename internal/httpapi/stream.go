package httpapi

import (
	"context"
	"net/http"

	"google.golang.org/protobuf/proto"
)

// streamWriter writes the response of one stream; only the goroutine of its request uses
// it. It adds two things to grpc-gateway: an error before the first message becomes a
// normal error response with all its headers, and a browser that reconnects after the end
// of a stream gets 204.
type streamWriter struct {
	http.ResponseWriter
	// started: a message was written or buffered.
	started bool
	// buffering: a browser has reconnected, and only `end` messages were sent since.
	// EventSource reconnects after every end, and stops only on a 204.
	buffering bool
	buffered  []byte
	// errorWritten: an error was written instead of the stream; further output of
	// grpc-gateway is dropped.
	errorWritten bool
}

type streamKey struct{}

// withStream passes the writer to grpc-gateway's handler of stream errors, which gets
// only a context.
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

// flushBuffered writes what was buffered, and ends buffering.
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

// writeError writes an error instead of the stream.
func (w *streamWriter) writeError(f *apiError) {
	w.errorWritten = true
	writeError(w.ResponseWriter, f)
}

// finish is called when the stream has ended without an error, or its error was written.
func (w *streamWriter) finish() {
	if w.buffering && !w.errorWritten {
		w.Header().Del("Content-Type")
		w.ResponseWriter.WriteHeader(http.StatusNoContent)
	}
}

// Write writes, buffers or drops.
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

// WriteHeader passes on a status unless the response was already determined.
func (w *streamWriter) WriteHeader(httpStatus int) {
	if !w.errorWritten && !w.buffering {
		w.ResponseWriter.WriteHeader(httpStatus)
	}
}

// FlushError flushes; http.ResponseController calls it.
func (w *streamWriter) FlushError() error {
	if w.errorWritten || w.buffering {
		return nil
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Unwrap lets http.ResponseController reach the connection.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
