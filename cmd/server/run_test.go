package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestTheDemoServesTheSameExperimentsOverGRPCAndHTTP(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	conn := p.dial(t)
	resp, err := runicornapiv1.NewExperimentServiceClient(conn).ListExperiments(t.Context(),
		&runicornapiv1.ListExperimentsRequest{Viewer: "-", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	byViewer := map[string][]string{}
	for _, e := range resp.GetExperiments() {
		byViewer[e.GetViewer()] = append(byViewer[e.GetViewer()], e.GetRunId())
	}
	if len(byViewer["demo"]) == 0 || len(byViewer["legacy"]) == 0 {
		t.Errorf("experiments by viewer: %v", byViewer)
	}
	code, body := p.get(t, plainClient(t), "/v1/experiments?viewer=-&page_size=1000", "")
	var answer struct {
		Experiments []struct {
			Viewer string `json:"viewer"`
			RunID  string `json:"run_id"`
		} `json:"experiments"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v:\n%s", code, err, body)
	}
	for i, e := range answer.Experiments {
		if over := resp.GetExperiments()[i]; e.Viewer != over.GetViewer() || e.RunID != over.GetRunId() {
			t.Fatalf("experiment %d is %v over HTTP and %s %s over gRPC", i, e, over.GetViewer(), over.GetRunId())
		}
	}
	if !strings.Contains(p.stdout.String(), "grpcurl -plaintext "+p.grpcAddr) {
		t.Errorf("the greeting has no line to paste:\n%s", p.stdout)
	}
}

// services are all that a server has, and so what reflection lists.
var services = []string{
	"arrow.flight.protocol.FlightService",
	"grpc.health.v1.Health",
	"grpc.reflection.v1.ServerReflection",
	"grpc.reflection.v1alpha.ServerReflection",
	"runicornapi.v1.ArtifactService",
	"runicornapi.v1.ExperimentService",
	"runicornapi.v1.MetricService",
	"runicornapi.v1.RemoteService",
	"runicornapi.v1.ViewerService",
	"tensorboard.data.TensorBoardDataProvider",
}

func TestReflectionListsEveryServiceInBothVersions(t *testing.T) {
	t.Parallel()
	conn := start(t).dial(t)
	var got []string
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range resp.GetListServicesResponse().GetService() {
		got = append(got, s.GetName())
	}
	if slices.Sort(got); !slices.Equal(got, services) {
		t.Errorf("got %v", got)
	}
}

func TestHealthKnowsTheServerItsServicesAndEachViewer(t *testing.T) {
	t.Parallel()
	up := newViewer(t, demotest.Gen06)
	p := start(t, "--viewer=up="+up.URL, "--viewer=down=http://"+freeAddress(t))
	conn := p.dial(t)
	awaitHealth(t, conn, "viewer/up", healthpb.HealthCheckResponse_SERVING)
	for service, want := range map[string]healthpb.HealthCheckResponse_ServingStatus{
		"":                                    healthpb.HealthCheckResponse_SERVING,
		"runicornapi.v1.MetricService":        healthpb.HealthCheckResponse_SERVING,
		"grpc.reflection.v1.ServerReflection": healthpb.HealthCheckResponse_SERVING,
		"viewer/down":                         healthpb.HealthCheckResponse_NOT_SERVING,
	} {
		resp, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || resp.GetStatus() != want {
			t.Errorf("%q: %v, %v; want %v", service, resp.GetStatus(), err, want)
		}
	}
	client := plainClient(t)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 200, "/readyz?viewer=up": 200, "/readyz?viewer=down": 503, "/readyz?viewer=none": 404,
	} {
		if code, body := p.get(t, client, path, ""); code != want {
			t.Errorf("%s: %d, want %d: %s", path, code, want, body)
		}
	}
}

func TestAViewerThatIsDownAtTheStartIsUsedWhenItIsUp(t *testing.T) {
	t.Parallel()
	addr := freeAddress(t)
	p := start(t, "--viewer=http://"+addr, "--health-interval=20ms")
	conn := p.dial(t)
	experiments := runicornapiv1.NewExperimentServiceClient(conn)
	_, err := experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{})
	if code, reason := outcome(err); code != codes.Unavailable || reason != "VIEWER_UNREACHABLE" {
		t.Errorf("while it is down: %v %s, want UNAVAILABLE", code, reason)
	}
	viewer, err := demotest.New(demotest.Config{Generation: demotest.Gen05})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: viewer}}
	server.Start()
	t.Cleanup(server.Close)
	awaitHealth(t, conn, "viewer/default", healthpb.HealthCheckResponse_SERVING)
	resp, err := experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{})
	if err != nil || len(resp.GetExperiments()) == 0 {
		t.Errorf("once it is up: %v, %v", resp, err)
	}
}

func TestASignalDuringTheStartEndsTheProcessOrderly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	args := []string{"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--demo"}
	stderr := newOutput()
	if code := run(ctx, args, noEnv, newOutput(), stderr); code != exitOK {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}
