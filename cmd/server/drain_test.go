package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/test/bufconn"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestTheDrainNotifiesWatchersRefusesNewCallsAndFinishesOldOnes(t *testing.T) {
	t.Parallel()
	asked, release := make(chan string), make(chan struct{})
	inner, err := demotest.New(demotest.Config{})
	if err != nil {
		t.Fatal(err)
	}
	viewer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/gpu/telemetry" || r.URL.Path == "/api/config" {
			asked <- r.URL.Path
			<-release
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(viewer.Close)
	p := start(t, "--viewer="+viewer.URL)
	conn := p.dial(t)
	viewers := runicornapiv1.NewViewerServiceClient(conn)
	watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Fatalf("before the drain: %v, %v", got, err)
	}
	overGRPC, overHTTP := make(chan error, 1), make(chan int, 1)
	go func() {
		_, err := viewers.GetGpu(t.Context(), &runicornapiv1.GetGpuRequest{})
		overGRPC <- err
	}()
	<-asked
	client := plainClient(t)
	go func() {
		code, _ := p.get(t, client, "/v1/viewers/default/config", "")
		overHTTP <- code
	}()
	<-asked

	p.stop()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != healthpb.HealthCheckResponse_NOT_SERVING {
		t.Errorf("the watcher received %v, %v", got, err)
	}
	if _, err := watch.Recv(); err == nil {
		t.Error("the watch continues")
	} else if code, _ := outcome(err); code != codes.Unavailable {
		t.Errorf("the watch ended with %v, want UNAVAILABLE", err)
	}
	_, err = viewers.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{})
	if code, _ := outcome(err); code != codes.Unavailable {
		t.Errorf("a new call got %v, want UNAVAILABLE", err)
	}
	select {
	case <-p.done:
		t.Error("the server ended before its last call")
	default:
	}
	close(release)
	if err := <-overGRPC; err != nil {
		t.Errorf("the call in flight over gRPC: %v", err)
	}
	if code := <-overHTTP; code != http.StatusOK {
		t.Errorf("the call in flight over HTTP: %d", code)
	}
}

func TestTheDrainEndsInTimeWithAnOpenStream(t *testing.T) {
	t.Parallel()
	p := start(t, "--drain-timeout=100ms")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(p.dial(t)).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	p.stop()
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the stream continues")
	}
}

func TestAMethodThatDoesNotEndDoesNotDelayTheExit(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	server := grpc.NewServer(grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
		close(entered)
		<-release
		return nil
	}))
	memory := bufconn.Listen(memoryBuffer)
	served := make(chan error, 1)
	go func() { served <- server.Serve(memory) }()
	conn, err := dialMemory(memory)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, conn)
	if _, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/stuck/Stuck"); err != nil {
		t.Fatal(err)
	}
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stopGRPC(ctx, server)
	if err := <-served; err != nil {
		t.Error(err)
	}
	close(release)
}
