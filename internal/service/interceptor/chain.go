// Package interceptor has the interceptors around every method, in one list: errors,
// deadlines, authority, admission and validation.
package interceptor

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Interceptor is an interceptor for unary calls and streams.
type Interceptor struct {
	Name   string
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
}

// Config holds what the interceptors depend on.
type Config struct {
	// Log receives the causes of internal errors.
	Log *slog.Logger
	// Deadline is the deadline of unary calls that have none.
	Deadline  time.Duration
	Auth      *Authorizer
	Admission Admission
	Validator *Validator
	// Stalls ends streams whose clients do not read; nil ends none.
	Stalls *Stalls
}

// Chain returns the interceptors that the services need, outermost first. Authority comes
// before validation, so that an unauthorized caller learns nothing about the request.
func Chain(c Config) []Interceptor {
	return []Interceptor{
		{"errors", UnaryErrors(c.Log), StreamErrors(c.Log)},
		{"deadline", withDeadline(c.Deadline), withoutDeadline},
		{"authority", c.Auth.Unary, c.Auth.Stream},
		{"admission", c.Admission.Unary, c.Admission.Stream},
		{"validation", c.Validator.Unary, c.Validator.Stream},
		{"stall", c.Stalls.Unary, c.Stalls.Stream},
	}
}

// ServerOptions returns the server options for interceptors, outermost first.
func ServerOptions(interceptors []Interceptor) []grpc.ServerOption {
	var unary []grpc.UnaryServerInterceptor
	var stream []grpc.StreamServerInterceptor
	for _, i := range interceptors {
		unary = append(unary, i.Unary)
		stream = append(stream, i.Stream)
	}
	return []grpc.ServerOption{grpc.ChainUnaryInterceptor(unary...), grpc.ChainStreamInterceptor(stream...)}
}

// withDeadline sets a deadline for unary calls that have none, and reserves time for the
// response.
func withDeadline(limit time.Duration) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		if _, ok := ctx.Deadline(); !ok {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, limit)
			defer cancel()
		}
		return handler(target.ReserveMargin(ctx), req)
	}
}

// withoutDeadline is the counterpart for streams, whose duration is not limited.
func withoutDeadline(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, ss)
}
