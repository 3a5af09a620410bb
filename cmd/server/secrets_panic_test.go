package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/compat"
	"github.com/runicorn-grpc/runicorn-grpc/internal/httpapi"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// panicking is a RemoteService that panics with the request in its hands.
type panicking struct {
	runicornapiv1.UnimplementedRemoteServiceServer
	with func(proto.Message) any
}

func (p *panicking) OpenConnection(_ context.Context, req *runicornapiv1.OpenConnectionRequest) (*runicornapiv1.OpenConnectionResponse, error) {
	panic(p.with(req))
}

func (p *panicking) StartViewer(_ context.Context, req *runicornapiv1.StartViewerRequest) (*runicornapiv1.StartViewerResponse, error) {
	panic(p.with(req))
}

func (p *panicking) SaveConnection(_ context.Context, req *runicornapiv1.SaveConnectionRequest) (*runicornapiv1.SaveConnectionResponse, error) {
	panic(p.with(req))
}

func TestAPanicWithARequestAsItsValueRevealsNoSecret(t *testing.T) {
	t.Parallel()
	for name, with := range map[string]func(proto.Message) any{
		"the request":       func(req proto.Message) any { return req },
		"its text":          func(req proto.Message) any { return prototext.Format(req) },
		"an error about it": func(req proto.Message) any { return fmt.Errorf("cannot: %w", errors.New(fmt.Sprint(req))) },
		"a secret": func(req proto.Message) any {
			return req.(interface {
				GetTarget() *runicornapiv1.SshTarget
			}).GetTarget().GetPassword()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, httpURL, log := servePanics(t, &panicking{with: with})
			received := &capture{}
			received.call(t, conn, httpURL)
			received.add(log.String())
			received.want(t, "INTERNAL_ERROR", "msg=panic", "secrets_panic_test.go", "value of type")
		})
	}
}

// servePanics serves a RemoteService behind all interceptors and the HTTP side.
func servePanics(t *testing.T, remote runicornapiv1.RemoteServiceServer) (conn *grpc.ClientConn, httpURL string, log *output) {
	t.Helper()
	validator, err := interceptor.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	log = newOutput()
	logger, m := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})), newMetrics()
	server := grpc.NewServer(interceptor.ServerOptions(chain(chainParts{
		metrics: m.calls, errors: m.errors, panics: m.panics,
		Config: interceptor.Config{Log: logger, Deadline: time.Minute, Auth: &interceptor.Authorizer{}, Validator: validator},
	}))...)
	runicornapiv1.RegisterRemoteServiceServer(server, remote)
	memory := bufconn.Listen(memoryBuffer)
	served := make(chan error, 1)
	go func() { served <- server.Serve(memory) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if conn, err = dialMemory(memory); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, conn) })
	handler, err := httpapi.New(t.Context(), httpapi.Config{Conn: conn, Health: health.NewServer(), OpenAPI: runicorngrpc.OpenAPI, Compat: compat.New(compat.Config{Conn: conn, Log: logger}), Log: logger})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler)
	web.Config.ErrorLog = slog.NewLogLogger(logger.Handler(), slog.LevelDebug)
	t.Cleanup(web.Close)
	return conn, web.URL, log
}
