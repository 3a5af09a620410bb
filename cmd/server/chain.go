package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"strings"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/selector"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/arrowflight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// chainParts holds what the interceptors depend on.
type chainParts struct {
	metrics *grpcprom.ServerMetrics
	errors  *prometheus.CounterVec
	panics  prometheus.Counter
	audit   *interceptor.Auditor // nil records nothing
	interceptor.Config
}

// chain returns the interceptors, outermost first. Metrics and log see the code that the
// caller sees; recovery also catches a panic in the error table.
func chain(p chainParts) []interceptor.Interceptor {
	log := logCalls(p.Log)
	handlePanic := recovery.WithRecoveryHandlerContext(onPanic(p.Log, p.panics))
	return append([]interceptor.Interceptor{
		countErrors(p.errors, interceptor.Interceptor{Name: "metrics", Unary: p.metrics.UnaryServerInterceptor(), Stream: p.metrics.StreamServerInterceptor()}),
		{
			Name:   "log",
			Unary:  selector.UnaryServerInterceptor(log.Unary, isLogged),
			Stream: selector.StreamServerInterceptor(log.Stream, isLogged),
		},
		{Name: "audit", Unary: p.audit.Unary, Stream: p.audit.Stream},
		{Name: "recovery", Unary: recovery.UnaryServerInterceptor(handlePanic), Stream: recovery.StreamServerInterceptor(handlePanic)},
		{Name: "flight", Unary: arrowflight.UnaryReasons, Stream: arrowflight.StreamReasons},
	}, interceptor.Chain(p.Config)...)
}

// countErrors makes an interceptor also count the reasons of errors.
func countErrors(count *prometheus.CounterVec, next interceptor.Interceptor) interceptor.Interceptor {
	note := func(method string, err error) {
		if err == nil || strings.HasPrefix(method, "/"+arrowflight.ServiceName+"/") {
			return // the call that Arrow Flight makes is counted instead
		}
		count.WithLabelValues(reasonLabel(err)).Inc()
	}
	return interceptor.Interceptor{
		Name: next.Name,
		Unary: func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := next.Unary(ctx, req, info, handler)
			note(info.FullMethod, err)
			return resp, err
		},
		Stream: func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			err := next.Stream(srv, ss, info, handler)
			note(info.FullMethod, err)
			return err
		},
	}
}

// reasonLabel returns the reason of an error, which is one of the contract's.
func reasonLabel(err error) string {
	reason := apierr.ReasonOf(status.Convert(err))
	if _, known := runicornapiv1.ErrorReason_value["ERROR_REASON_"+reason]; known {
		return reason
	}
	return "OTHER"
}

// logCalls logs how calls end.
func logCalls(log *slog.Logger) interceptor.Interceptor {
	lines := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // the library has two constant messages
	})
	logged := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(logLevel),
		logging.WithDisableLoggingFields(logging.SystemTag[0], logging.ComponentFieldKey, "grpc.start_time"),
	}
	return interceptor.Interceptor{Unary: logging.UnaryServerInterceptor(lines, logged...), Stream: logging.StreamServerInterceptor(lines, logged...)}
}

// isLogged excludes calls of Arrow Flight: each makes a call of the API, which is logged.
var isLogged = selector.MatchFunc(func(_ context.Context, call interceptors.CallMeta) bool {
	return call.Service != arrowflight.ServiceName
})

// onPanic maps a panic to an internal error by the error table. The value of the panic
// may be the request with its secrets, so it is neither logged nor returned.
func onPanic(log *slog.Logger, count prometheus.Counter) recovery.RecoveryHandlerFuncContext {
	table := interceptor.UnaryErrors(log)
	return func(ctx context.Context, p any) error {
		count.Inc()
		method, _ := grpc.Method(ctx)
		log.ErrorContext(ctx, "panic", slog.String("method", method), slog.String("stack", string(debug.Stack())))
		_, err := table(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) {
			return nil, panics.Error(p)
		})
		return err
	}
}

// logLevel returns the level for the end of a call. Successful calls and errors of
// callers are logged at debug.
func logLevel(code codes.Code) logging.Level {
	switch code {
	case codes.OK, codes.Canceled, codes.NotFound, codes.InvalidArgument, codes.AlreadyExists, codes.OutOfRange:
		return logging.LevelDebug
	case codes.Unimplemented, codes.Unauthenticated, codes.PermissionDenied, codes.FailedPrecondition, codes.Aborted:
		return logging.LevelInfo
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unknown:
		return logging.LevelWarn
	case codes.Internal, codes.DataLoss:
		return logging.LevelError
	default:
		return logging.LevelError
	}
}
