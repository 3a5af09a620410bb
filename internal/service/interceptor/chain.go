// Package interceptor is what every call passes before and after its method:
// errors, deadlines, authority, admission and validation, in one list.
package interceptor

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc"
)

// Interceptor is one interceptor in its two forms.
type Interceptor struct {
	Name   string
	Unary  grpc.UnaryServerInterceptor
	Stream grpc.StreamServerInterceptor
}

// Config is what the interceptors work with.
type Config struct {
	// Log takes the causes of internal errors.
	Log *slog.Logger
	// Deadline bounds unary calls that bring none.
	Deadline  time.Duration
	Auth      *Authorizer
	Admission Admission
	Validator *Validator
	// Stalls ends streams that nobody reads; nil ends none.
	Stalls *Stalls
}

// Chain is the list of interceptors that the services need, outermost first.
// Whoever has no right learns nothing of what the request lacks.
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

// ServerOptions makes the options of a server from a list, outermost first.
func ServerOptions(interceptors []Interceptor) []grpc.ServerOption {
	var unary []grpc.UnaryServerInterceptor
	var stream []grpc.StreamServerInterceptor
	for _, i := range interceptors {
		unary = append(unary, i.Unary)
		stream = append(stream, i.Stream)
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
