package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

const readToken = "a-token-that-nobody-can-guess"

// post sends a body and returns the status and the answer.
func (p *process) post(t *testing.T, path, body string) (code int, answer string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.httpURL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := plainClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, resp.Body)
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// tail opens a tail of the demo's live run and reads its first message.
func (p *process) tail(ctx context.Context, t *testing.T) grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse] {
	t.Helper()
	stream, err := runicornapiv1.NewMetricServiceClient(p.dial(t)).TailMetrics(ctx, &runicornapiv1.TailMetricsRequest{Filter: `status = RUNNING`})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	return stream
}

func bearerContext(t *testing.T, token string) context.Context {
	t.Helper()
	return metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
}

// TestARequestWithManyViolationsEndsNoStream: its answer once broke the connection
// between the HTTP side and the gRPC server.
func TestARequestWithManyViolationsEndsNoStream(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.httpURL+"/v1/metrics:tail?filter=status%3DRUNNING&heartbeat_interval=1s", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := plainClient(t).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, resp.Body)
	for path, body := range map[string]string{
		"/v1/experiments:findBest": `{"metric_name":"x","run_ids":["` + strings.Repeat(`","`, 130_000) + `"]}`,
		"/v1/experiments:purge":    `{"run_ids":["` + strings.Repeat(`","`, 99) + `"],"validate_only":true}`,
		"/v1/experiments:none":     "{}",
	} {
		code, answer := p.post(t, path, body)
		if (code != 400 && code != 404) || len(answer) > 8<<10 {
			t.Errorf("%s: %d, %d bytes: %.200s", path, code, len(answer), answer)
		}
	}
	line := make([]byte, 1)
	for range 2000 { // the other stream continues
		if _, err := io.ReadFull(resp.Body, line); err != nil {
			t.Fatalf("the other stream: %v", err)
		}
	}
}

// heldBack opens a call on a separate connection that declares a message of 1 MiB and
// sends less; it returns the response.
func (p *process) heldBack(t *testing.T, method string) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	silent, end := io.Pipe()
	t.Cleanup(func() { shut(t, end) })
	prefix := binary.BigEndian.AppendUint32([]byte{0}, 1<<20)
	body := io.MultiReader(bytes.NewReader(prefix), strings.NewReader("x"), silent)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.grpcAddr+method, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	return transport.RoundTrip(req)
}

func TestACallWithoutATokenIsRefusedCountedAndLoggedBeforeItsMessageIsRead(t *testing.T) {
	t.Parallel()
	p := start(t, "--viewer="+newViewer(t, demotest.Gen07).URL, "--auth-token-file="+file(t, "tokens", "read "+readToken+"\n"))
	for _, method := range []string{
		runicornapiv1.ExperimentService_ListProjects_FullMethodName, runicornapiv1.MetricService_TailMetrics_FullMethodName,
		"/arrow.flight.protocol.FlightService/DoGet", "/x/y",
	} {
		resp, err := p.heldBack(t, method)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		if got := resp.Header.Get("Grpc-Status"); got != "16" || resp.Header.Get("Grpc-Status-Details-Bin") == "" {
			t.Errorf("%s: status %q of %v", method, got, resp.Header)
		}
		_ = resp.Body.Close() // reset by the server
	}
	_, text := p.get(t, plainClient(t), "/metrics", readToken)
	for _, want := range []string{
		`grpc_server_handled_total{grpc_code="Unauthenticated",grpc_method="ListProjects",grpc_service="runicornapi.v1.ExperimentService",grpc_type="unary"} 1`,
		`grpc_server_handled_total{grpc_code="Unauthenticated",grpc_method="TailMetrics",grpc_service="runicornapi.v1.MetricService",grpc_type="server_stream"} 1`,
		`grpc_method="unknown",grpc_service="unknown"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	await(t, func() bool {
		log := p.stderr.String()
		return strings.Count(log, "grpc.code=Unauthenticated") == 4 && strings.Contains(log, "grpc.method=DoGet") && strings.Contains(log, "grpc.method=TailMetrics") && strings.Contains(log, "peer.address=127.0.0.1")
	})
}

// await waits for a condition.
func await(t *testing.T, come func() bool) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	late := time.After(testTimeout)
	for !come() {
		select {
		case <-again.C:
		case <-late:
			t.Fatal("it did not come")
		}
	}
}

func TestTheTokenFileIsReadAgain(t *testing.T) {
	t.Parallel()
	const other = "another-token-of-some-length"
	path := file(t, "tokens", "read "+readToken+"\n")
	p := start(t, "--demo", "--auth-token-file="+path)
	stream := p.tail(bearerContext(t, readToken), t)
	list := func(token string) codes.Code {
		_, err := runicornapiv1.NewExperimentServiceClient(p.dial(t)).ListProjects(bearerContext(t, token), &runicornapiv1.ListProjectsRequest{})
		code, _ := outcome(err)
		return code
	}
	if err := os.WriteFile(path, []byte("oops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return strings.Contains(p.stderr.String(), "the old tokens stay") })
	if got := list(readToken); got != codes.OK {
		t.Errorf("while the file is bad: %v", got)
	}
	if err := os.WriteFile(path, []byte("read "+other+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	for err == nil {
		_, err = stream.Recv()
	}
	if code, reason := outcome(err); code != codes.Unauthenticated || reason != "TOKEN_INVALID" {
		t.Errorf("the open stream ends by %v", err)
	}
	if old, fresh := list(readToken), list(other); old != codes.Unauthenticated || fresh != codes.OK {
		t.Errorf("the old token: %v, the new one: %v", old, fresh)
	}
	if log := p.stderr.String(); strings.Contains(log, readToken) || strings.Contains(log, other) {
		t.Errorf("the log shows a token:\n%s", log)
	}
}

func TestShortTokensAreRefusedBeyondLoopback(t *testing.T) {
	t.Parallel()
	log := newOutput()
	code := run(t.Context(), []string{"--grpc-addr=0.0.0.0:0", "--insecure-listen", "--auth-token-file=" + file(t, "tokens", "admin x\n")}, noEnv, io.Discard, log)
	if code != exitUsage || !strings.Contains(log.String(), "openssl rand -hex 32") {
		t.Errorf("exit code %d: %s", code, log)
	}
}

func TestTheLogNamesTheCallersOfHTTP(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--log-level=debug")
	for _, path := range []string{"/v1/projects", "/api/experiments", "/v1/metrics:stream?run_ids=20200101_000000_abcdef"} {
		p.get(t, plainClient(t), path, "")
	}
	await(t, func() bool { return strings.Count(p.stderr.String(), "peer.address=127.0.0.1:") >= 3 })
	if strings.Contains(p.stderr.String(), "peer.address=bufconn") {
		t.Errorf("a caller is called bufconn:\n%s", p.stderr)
	}
	// The header of any other caller is ignored.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "runicorn-http-peer", "198.51.100.1:1")
	if _, err := runicornapiv1.NewExperimentServiceClient(p.dial(t)).ListProjects(ctx, &runicornapiv1.ListProjectsRequest{}); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.stderr.String(), "198.51.100.1") {
		t.Error("a caller's own word is in the log")
	}
}

func TestIdleConnectionsAreClosedAndTailsGoOn(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo", "--max-connection-idle=300ms")
	stream := p.tail(t.Context(), t)
	idle, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", p.grpcAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, idle)
	if _, err := io.WriteString(idle, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, idle); err != nil { // ends when the server closes it
		t.Logf("read: %v", err)
	}
	for range 2 {
		if _, err := stream.Recv(); err != nil {
			t.Errorf("the tail: %v", err)
		}
	}
}

func TestAHealthWatchHoldsLittle(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	stream, err := healthpb.NewHealthClient(p.dial(t)).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: strings.Repeat("x", 1000)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err == nil {
		t.Error("the name of a service may have any length")
	}
}

func TestUnambiguousSpellingsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"-help"}, {"version"}, {"-version"}} {
		var out bytes.Buffer
		if code := run(t.Context(), args, noEnv, &out, io.Discard); code != exitOK || out.Len() == 0 {
			t.Errorf("%v: exit code %d, %q", args, code, out.String())
		}
	}
	cfg, err := parse([]string{"-demo", "--viewer=127.0.0.1:23300", "-viewer=lab=localhost:1"}, noEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := []viewerFlag{{URL: "http://127.0.0.1:23300"}, {Name: "lab", URL: "http://localhost:1"}}
	if !cfg.Demo || len(cfg.Viewer) != 2 || cfg.Viewer[0] != want[0] || cfg.Viewer[1] != want[1] {
		t.Errorf("got %+v", cfg)
	}
	for _, args := range [][]string{{"serve"}, {"-dem"}} {
		if _, err := parse(args, noEnv, io.Discard); err == nil || !strings.Contains(err.Error(), "--help") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestTheMemoryLimitIsTheSumOfTheBounds(t *testing.T) {
	t.Parallel()
	cfg, err := parse([]string{"--cache-bytes=1GiB"}, noEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.memory() >> 20; got < 1024+128+256 || got > 2048 {
		t.Errorf("%d MiB", got)
	}
}

// TestABurstOfTailsIsAccepted: the limit for incomplete requests must not affect complete
// ones.
func TestABurstOfTailsIsAccepted(t *testing.T) {
	t.Parallel()
	p := start(t, "--demo")
	var callers errgroup.Group
	for range 10 {
		client := runicornapiv1.NewMetricServiceClient(p.dial(t))
		for range 150 {
			callers.Go(func() error {
				stream, err := client.TailMetrics(t.Context(), &runicornapiv1.TailMetricsRequest{Filter: `status = RUNNING`, Start: runicornapiv1.TailStart_TAIL_START_NOW})
				if err == nil {
					_, err = stream.Recv()
				}
				return err
			})
		}
	}
	if err := callers.Wait(); err != nil {
		t.Error(err)
	}
}
