package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// testChain returns the list of interceptors, its metrics and its log.
func testChain(t *testing.T) ([]interceptor.Interceptor, *metrics, *output) {
	t.Helper()
	validator, err := interceptor.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	m, log := newMetrics(), newOutput()
	return chain(chainParts{
		metrics: m.calls, errors: m.errors, panics: m.panics,
		Config: interceptor.Config{
			Log: slog.New(slog.NewTextHandler(log, nil)), Deadline: time.Minute, Auth: &interceptor.Authorizer{}, Validator: validator,
		},
	}), m, log
}

func TestEveryInterceptorHasBothFormsInOrder(t *testing.T) {
	t.Parallel()
	links, _, _ := testChain(t)
	var names []string
	for _, l := range links {
		names = append(names, l.Name)
		if l.Unary == nil || l.Stream == nil {
			t.Errorf("%s lacks a twin", l.Name)
		}
	}
	want := []string{"metrics", "log", "audit", "recovery", "flight", "errors", "deadline", "authority", "admission", "validation", "stall"}
	if !slices.Equal(names, want) {
		t.Errorf("got %v", names)
	}
	if got := len(interceptor.ServerOptions(links)); got != 2 {
		t.Errorf("%d options, want one for unary calls and one for streams", got)
	}
}

// callUnary passes a call through all interceptors to a method.
func callUnary(ctx context.Context, links []interceptor.Interceptor, method grpc.UnaryHandler) error {
	for _, l := range slices.Backward(links) {
		next := method
		method = func(ctx context.Context, req any) (any, error) {
			return l.Unary(ctx, req, &grpc.UnaryServerInfo{FullMethod: "/runicornapi.v1.ViewerService/GetConfig"}, next)
		}
	}
	_, err := method(ctx, nil)
	return err
}

// callStream does so for streams.
func callStream(ctx context.Context, links []interceptor.Interceptor, method grpc.StreamHandler) error {
	for _, l := range slices.Backward(links) {
		next := method
		method = func(srv any, ss grpc.ServerStream) error {
			return l.Stream(srv, ss, &grpc.StreamServerInfo{FullMethod: "/runicornapi.v1.MetricService/TailMetrics", IsServerStream: true}, next)
		}
	}
	return method(nil, idleStream{ctx: ctx})
}

// idleStream is a stream that carries nothing.
type idleStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s idleStream) Context() context.Context { return s.ctx }

func TestAPanicIsAnInternalErrorWithAnIncident(t *testing.T) {
	t.Parallel()
	links, m, log := testChain(t)
	for name, err := range map[string]error{
		"unary":  callUnary(t.Context(), links, func(context.Context, any) (any, error) { panic("canary") }),
		"stream": callStream(t.Context(), links, func(any, grpc.ServerStream) error { panic("canary") }),
	} {
		if code, reason := outcome(err); code != codes.Internal || reason != "INTERNAL_ERROR" {
			t.Errorf("%s: %v", name, err)
		}
		if strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: the caller sees the panic: %v", name, err)
		}
	}
	scrape := httptest.NewRecorder()
	m.handler().ServeHTTP(scrape, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if !strings.Contains(scrape.Body.String(), namespace+"_panics_total 2\n") {
		t.Error("the panics are not counted")
	}
	if !strings.Contains(log.String(), "value of type string") || !strings.Contains(log.String(), "chain_test.go") {
		t.Errorf("the log lacks the panic or its place:\n%s", log)
	}
	if strings.Contains(log.String(), "canary") {
		t.Errorf("the log has the value of the panic:\n%s", log)
	}
}

func TestOnlyUnaryCallsWithoutADeadlineGetOne(t *testing.T) {
	t.Parallel()
	links, _, _ := testChain(t)
	left := func(ctx context.Context) time.Duration {
		deadline, ok := ctx.Deadline()
		if !ok {
			return 0
		}
		return time.Until(deadline).Round(time.Minute)
	}
	var none, own, stream time.Duration
	hour, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	err := errors.Join(
		callUnary(t.Context(), links, func(ctx context.Context, _ any) (any, error) { none = left(ctx); return nil, nil }),
		callUnary(hour, links, func(ctx context.Context, _ any) (any, error) { own = left(ctx); return nil, nil }),
		callStream(t.Context(), links, func(_ any, ss grpc.ServerStream) error { stream = left(ss.Context()); return nil }),
	)
	if err != nil {
		t.Fatal(err)
	}
	if none != time.Minute || own != time.Hour || stream != 0 {
		t.Errorf("deadlines of %v, %v and %v; want 1m, 1h and none", none, own, stream)
	}
}

func TestEveryCodeHasAnExplicitLevel(t *testing.T) {
	t.Parallel()
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		level := slog.Level(logLevel(code))
		loud := code == codes.Internal || code == codes.DataLoss
		if (level == slog.LevelError) != loud {
			t.Errorf("%v is logged at %v", code, level)
		}
	}
}

func TestClientsMayPingEvery20SecondsWithAndWithoutCalls(t *testing.T) {
	t.Parallel()
	if keepaliveEnforcement.MinTime > 20*time.Second || !keepaliveEnforcement.PermitWithoutStream {
		t.Errorf("the policy is %+v", keepaliveEnforcement)
	}
}
