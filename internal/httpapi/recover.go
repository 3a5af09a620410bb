package httpapi

import (
	"log/slog"
	"net/http"
	"runtime/debug"

	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
)

// recoverPanic is deferred around every handler. After a panic, net/http would log its
// value, which may be a request with secrets. So the value is not passed on, and the
// connection is closed.
func (h *handler) recoverPanic(r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p != http.ErrAbortHandler { //nolint:errorlint // it is no error of a call
		h.log.ErrorContext(r.Context(), "panic", slog.String("method", r.Method), slog.String("path", forLog(r.URL.Path)),
			slog.Any("error", panics.Error(p)), slog.String("stack", string(debug.Stack())))
	}
	panic(http.ErrAbortHandler)
}
