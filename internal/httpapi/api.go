package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/klauspost/compress/gzhttp"
	"github.com/klauspost/compress/gzip"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	gateway "github.com/runicorn-grpc/runicorn-grpc/gen/gateway/runicornapi/v1"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// streamRetry is the Retry-After of a stream that was refused at the limit.
const streamRetry = 5 * time.Second

// newCompressor compresses JSON and pages of 1 KiB or more. Stateless compression holds
// no memory while a client is slow.
func newCompressor() (func(http.Handler) http.HandlerFunc, error) {
	return gzhttp.NewWrapper(gzhttp.MinSize(1<<10), gzhttp.CompressionLevel(gzip.StatelessCompression),
		gzhttp.ContentTypes([]string{"application/json", "text/html", "text/css", "text/javascript"}))
}

// api wraps grpc-gateway's mux: it checks each request and writes each error.
type api struct {
	Config
	routes   routeTable
	mux      *runtime.ServeMux
	compress func(http.Handler) http.HandlerFunc
}

// newAPI returns the handler of /v1/.
func newAPI(ctx context.Context, cfg Config, compress func(http.Handler) http.HandlerFunc) (http.Handler, error) {
	routes, err := newRouteTable()
	if err != nil {
		return nil, fmt.Errorf("read the routes of the contract: %w", err)
	}
	a := &api{Config: cfg, routes: routes, compress: compress}
	a.mux = a.newMux()
	mux, conn := a.mux, a.Conn
	err = errors.Join(
		gateway.RegisterExperimentServiceHandlerClient(ctx, mux, runicornapiv1.NewExperimentServiceClient(conn)),
		gateway.RegisterMetricServiceHandlerClient(ctx, mux, runicornapiv1.NewMetricServiceClient(conn)),
		gateway.RegisterArtifactServiceHandlerClient(ctx, mux, runicornapiv1.NewArtifactServiceClient(conn)),
		gateway.RegisterRemoteServiceHandlerClient(ctx, mux, runicornapiv1.NewRemoteServiceClient(conn)),
		gateway.RegisterViewerServiceHandlerClient(ctx, mux, runicornapiv1.NewViewerServiceClient(conn)),
	)
	if err != nil {
		return nil, fmt.Errorf("register the services with grpc-gateway: %w", err)
	}
	return withHead(mux), nil
}

type headKey struct{}

// withHead routes HEAD as GET. net/http drops the body; handlers for which a body is
// expensive check isHead.
func withHead(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			r = r.WithContext(context.WithValue(r.Context(), headKey{}, true))
			r.Method = http.MethodGet
		}
		next.ServeHTTP(w, r)
	})
}

func isHead(r *http.Request) bool { return r.Context().Value(headKey{}) != nil }

func (a *api) newMux() *runtime.ServeMux {
	lines := newNDJSONMarshaler(a.Compute)
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, lines),
		runtime.WithMarshalerOption(mediaEvents, &sseMarshaler{ndjsonMarshaler: *lines}),
		// The default mode decodes %2F before it looks for the route, so an id with a
		// slash would select another route.
		runtime.WithUnescapingMode(runtime.UnescapingModeAllExceptSlash),
		// A form POST must not become a GET, nor a POST a DELETE.
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		// net/http chunks by itself, and HTTP/2 forbids the header.
		runtime.WithDisableChunkedEncoding(),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(outgoingHeader),
		runtime.WithOutgoingTrailerMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithMiddlewares(a.withRoute),
		runtime.WithForwardResponseOption(beforeMessage),
		runtime.WithErrorHandler(a.handleError),
		runtime.WithStreamErrorHandler(a.handleStreamError),
		runtime.WithRoutingErrorHandler(a.handleRoutingError),
	)
}

// incomingHeader maps headers to metadata. grpc-gateway handles Authorization itself, and
// makes the call's deadline from Grpc-Timeout.
func incomingHeader(key string) (string, bool) {
	return strings.ToLower(key), slices.Contains(metadataHeaders, key)
}

// outgoingHeader maps no metadata to headers: the content-type and others of the gRPC
// server do not apply to HTTP.
func outgoingHeader(string) (string, bool) { return "", false }

// withRoute runs between grpc-gateway's mux and its handlers, when the route is known and
// no call was made yet. Routes that are not answered by grpc-gateway are handled here.
func (a *api) withRoute(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		w.Header().Set("Cache-Control", "no-store")
		rt, ok := a.routes.lookup(r)
		if !ok {
			writeError(w, a.toAPIError(r.Context(), fmt.Errorf("no route for %s %s", r.Method, r.URL.Path)))
			return
		}
		if r.ContentLength != 0 {
			if err := a.Admit(r.Context()); err != nil {
				a.Refused(r, err)
				writeError(w, a.toAPIError(r.Context(), err))
				return
			}
		}
		req, err := rt.prepare(w, r, params, a.Limits.MaxBody)
		if err != nil {
			writeError(w, a.toAPIError(r.Context(), err))
			return
		}
		switch {
		case isHead(r) && rt.stream && rt.output == nil:
			w.Header().Set("Content-Type", contentTypeOf(wantsEvents(r.Header.Values("Accept")))) // without opening the stream
		case rt.output != nil:
			a.download(w, r, req, rt, params)
		case rt.stream:
			a.stream(next, w, r, req, params)
		default:
			a.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				a.unary(next, w, req, params)
			})).ServeHTTP(w, r)
		}
	}
}

// unary makes a call with a deadline.
func (a *api) unary(next runtime.HandlerFunc, w http.ResponseWriter, req *http.Request, params map[string]string) {
	if req.Header.Get("Grpc-Timeout") == "" {
		ctx, cancel := context.WithTimeout(req.Context(), a.Limits.UnaryTimeout)
		defer cancel()
		req = req.WithContext(ctx)
	}
	next(w, req, params)
}

// stream makes a call without a deadline.
func (a *api) stream(next runtime.HandlerFunc, w http.ResponseWriter, r, req *http.Request, params map[string]string) {
	asEvents := wantsEvents(r.Header.Values("Accept"))
	if asEvents {
		req.Header.Set("Accept", mediaEvents) // selects the marshaler
	}
	w.Header().Set("Content-Type", contentTypeOf(asEvents)) // also for a stream without messages
	w.Header().Set("X-Accel-Buffering", "no")               // proxies must not delay messages
	s := &streamWriter{ResponseWriter: w, buffering: asEvents && r.Header.Get("Last-Event-ID") != ""}
	next(s, req.WithContext(withStream(req.Context(), s)), params)
	s.finish()
}

// handleError writes an error of a call that has not written anything yet.
func (a *api) handleError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, _ *http.Request, err error) {
	f := a.toAPIError(ctx, err)
	if s, ok := w.(*streamWriter); ok {
		s.writeError(f)
		return
	}
	writeError(w, f)
}

// handleStreamError returns the status that the marshaler writes as the last line or
// event of a stream. Before the first message, it writes the error itself.
func (a *api) handleStreamError(ctx context.Context, err error) *status.Status {
	f := a.toAPIError(ctx, err)
	s := streamOf(ctx)
	switch {
	case s == nil:
	case !s.started:
		s.writeError(f)
	default:
		if err := s.flushBuffered(); err != nil {
			a.Log.DebugContext(ctx, "client disconnected", slog.Any("error", err))
		}
	}
	return f.st
}

// handleRoutingError answers unknown paths and methods.
func (a *api) handleRoutingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, httpStatus int) {
	if httpStatus == http.StatusMethodNotAllowed {
		writeNoMethod(w, r, a.routes.allowed(r.URL.Path))
		return
	}
	writeNoRoute(w, r)
}

// toAPIError converts any error. One that is neither an apiError nor a status is an
// internal error, whose text is only logged.
func (a *api) toAPIError(ctx context.Context, err error) *apiError {
	f, ok := fromError(err)
	away := ok && f.st.Code() == codes.Unavailable && errorInfo(f.st.Proto()) == nil
	if ok && !away {
		return f
	}
	internal, httpStatus := apierr.Internal(err), http.StatusInternalServerError
	if away { // the in-memory connection broke, or the server is shutting down
		select {
		case <-a.Draining:
			return newAPIError(http.StatusServiceUnavailable, codes.Unavailable, runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING, "this server is shutting down", nil)
		default:
			internal.Code, httpStatus = codes.Unavailable, http.StatusServiceUnavailable
			internal.Details = append(internal.Details, apierr.RetryInfo(0))
		}
	}
	a.Log.ErrorContext(ctx, "internal error", slog.String("incident", internal.Incident()), slog.Any("error", err))
	return fromAPIErr(httpStatus, internal)
}

// writeNoRoute answers an unknown path.
func writeNoRoute(w http.ResponseWriter, r *http.Request) {
	writeError(w, newAPIError(http.StatusNotFound, codes.Unimplemented, runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED,
		fmt.Sprintf("there is no %s; /docs lists the paths", r.URL.Path), nil))
}

// writeNoMethod answers a method that a path does not have.
func writeNoMethod(w http.ResponseWriter, r *http.Request, allowed []string) {
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	writeError(w, newAPIError(http.StatusMethodNotAllowed, codes.Unimplemented, runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED,
		fmt.Sprintf("%s has no %s, but %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")), nil))
}
