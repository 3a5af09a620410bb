package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

// testTimeout is how long a test waits for an expected event.
const testTimeout = 20 * time.Second

// output is a writer that can be read at any time, and signals its first write.
type output struct {
	mu    sync.Mutex
	text  bytes.Buffer
	first chan struct{}
}

func newOutput() *output { return &output{first: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.text.Len() == 0 && len(b) > 0 {
		close(o.first)
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// process is a server that runs inside the test.
type process struct {
	grpcAddr, httpURL string
	stdout, stderr    *output
	stop              context.CancelFunc // what a signal does
	done              chan struct{}
	code              int // valid when done is closed
}

// greeting finds the addresses in the output of the server's start.
var greeting = regexp.MustCompile(`gRPC +(\S+)\nHTTP +(\S+)/\n`)

// start runs a server on free ports, and ends it with the test.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	return startWith(t, noEnv, args...)
}

// startWith does so in an environment.
func startWith(t *testing.T, getenv func(string) string, args ...string) *process {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	p := &process{stdout: newOutput(), stderr: newOutput(), stop: stop, done: make(chan struct{})}
	args = append([]string{"--grpc-addr=127.0.0.1:0", "--http-addr=127.0.0.1:0", "--state-dir="}, args...)
	go func() {
		defer close(p.done)
		p.code = run(ctx, args, getenv, p.stdout, p.stderr)
	}()
	t.Cleanup(func() {
		stop()
		if code := p.wait(t); code != exitOK {
			t.Errorf("exit code %d, want 0; log:\n%s", code, p.stderr)
		}
	})
	select {
	case <-p.stdout.first:
	case <-p.done:
		t.Fatalf("the server exited immediately with code %d:\n%s", p.code, p.stderr)
	case <-time.After(testTimeout):
		t.Fatal("the server did not start")
	}
	found := greeting.FindStringSubmatch(p.stdout.String())
	if found == nil {
		t.Fatalf("no addresses in the greeting:\n%s", p.stdout)
	}
	p.grpcAddr, p.httpURL = found[1], found[2]
	return p
}

// wait waits for the end and returns the exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.code
	case <-time.After(testTimeout):
		t.Fatalf("the server did not end; log:\n%s", p.stderr)
		return -1
	}
}

// dial connects to the gRPC port, without TLS unless an option says otherwise.
func (p *process) dial(t *testing.T, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	options = append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, options...)
	conn, err := grpc.NewClient(p.grpcAddr, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, conn) })
	return conn
}

// get makes a request to the HTTP port and returns the status and the body.
func (p *process) get(t *testing.T, client *http.Client, path, token string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.httpURL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
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

// plainClient is an HTTP client without idle connections.
func plainClient(t *testing.T) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// awaitHealth waits until a health service has a status.
func awaitHealth(t *testing.T, conn *grpc.ClientConn, service string, want healthpb.HealthCheckResponse_ServingStatus) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	stream, err := healthpb.NewHealthClient(conn).Watch(ctx, &healthpb.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			t.Fatalf("watch the health of %q until it is %v: %v", service, want, err)
		}
		if got.GetStatus() == want {
			return
		}
	}
}

// newViewer starts a demo Viewer of a generation on a free port.
func newViewer(t *testing.T, generation demotest.Generation) *httptest.Server {
	t.Helper()
	viewer, err := demotest.New(demotest.Config{Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(viewer)
	t.Cleanup(server.Close)
	return server
}

// freeAddress returns an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer shut(t, listener)
	return listener.Addr().String()
}

// outcome is the code and the reason of an error.
func outcome(err error) (code codes.Code, reason string) {
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = info.GetReason()
		}
	}
	return st.Code(), reason
}

// shut closes what a test has opened.
func shut(t *testing.T, c io.Closer) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func noEnv(string) string { return "" }
