package main

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/logging"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/runicorn-grpc/runicorn-grpc/internal/panics"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service"
)

// interceptor is one interceptor in its two forms.
type interceptor struct {
	name   string
	unary  grpc.UnaryServerInterceptor
	stream grpc.StreamServerInterceptor
}

// chainParts is what the interceptors work with.
type chainParts struct {
	metrics   *grpcprom.ServerMetrics
	panics    prometheus.Counter
	log       *slog.Logger
	deadline  time.Duration // of unary calls that bring none
	auth      *service.Authorizer
	admission service.Admission
	validator *service.Validator
}

// chain is the list of interceptors, outermost first. Metrics and log see the
// code that the caller sees; recovery catches a panic in the error table too;
// whoever has no right learns nothing of what the request lacks.
func chain(p chainParts) []interceptor {
	lines := logging.LoggerFunc(func(ctx context.Context, level logging.Level, msg string, fields ...any) {
		p.log.Log(ctx, slog.Level(level), msg, fields...) //nolint:sloglint // the library has two constant messages
	})
	logged := []logging.Option{
		logging.WithLogOnEvents(logging.FinishCall),
		logging.WithLevels(logLevel),
		logging.WithDisableLoggingFields(logging.SystemTag[0], logging.ComponentFieldKey, "grpc.start_time"),
	}
	handlePanic := recovery.WithRecoveryHandlerContext(onPanic(p.log, p.panics))
	return []interceptor{
		{"metrics", p.metrics.UnaryServerInterceptor(), p.metrics.StreamServerInterceptor()},
		{"log", logging.UnaryServerInterceptor(lines, logged...), logging.StreamServerInterceptor(lines, logged...)},
		{"recovery", recovery.UnaryServerInterceptor(handlePanic), recovery.StreamServerInterceptor(handlePanic)},
		{"errors", service.UnaryErrors(p.log), service.StreamErrors(p.log)},
		{"deadline", withDeadline(p.deadline), withoutDeadline},
		{"authority", p.auth.Unary, p.auth.Stream},
		{"admission", p.admission.Unary, p.admission.Stream},
		{"validation", p.validator.Unary, p.validator.Stream},
	}
}

// serverOptions makes the options of a server from the one list.
func serverOptions(interceptors []interceptor) []grpc.ServerOption {
	var unary []grpc.UnaryServerInterceptor
	var stream []grpc.StreamServerInterceptor
	for _, l := range interceptors {
		unary = append(unary, l.unary)
		stream = append(stream, l.stream)
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(stream...)}
}

// withDeadline bounds unary calls whose caller is willing to wait for ever.
func withDeadline(limit time.Duration) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		return handler(ctx, req)
	}
}

// withoutDeadline is the twin for streams, which live as long as they like.
func withoutDeadline(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, ss)
}

// onPanic makes a panic an internal error like any other, by the same table. Its value
// may be the request, with its secrets, and goes nowhere.
func onPanic(log *slog.Logger, count prometheus.Counter) recovery.RecoveryHandlerFuncContext {
	table := service.UnaryErrors(log)
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

// logLevel says how loud the end of a call is: good ones and the mistakes of
// callers are there for those who look for them.
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
