package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// call is one call that reached the gRPC server.
type call struct {
	method string
	req    proto.Message
	md     metadata.MD
}

// backend is a gRPC server of all five services. It records every call; unary,
// tail and download answer, and what they leave out is UNIMPLEMENTED.
type backend struct {
	runicornapiv1.UnimplementedExperimentServiceServer
	artifacts
	runicornapiv1.UnimplementedRemoteServiceServer
	runicornapiv1.UnimplementedViewerServiceServer
	metrics

	unary  func(ctx context.Context, req any) (proto.Message, error)
	health *health.Server

	mu    sync.Mutex
	calls []call
}

// metrics serves MetricService, with a tail of the test's own.
type metrics struct {
	runicornapiv1.UnimplementedMetricServiceServer
	tail func(*runicornapiv1.TailMetricsRequest, grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error
}

func (m *metrics) TailMetrics(req *runicornapiv1.TailMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	if m.tail == nil {
		return m.UnimplementedMetricServiceServer.TailMetrics(req, stream)
	}
	return m.tail(req, stream)
}

// artifacts serves ArtifactService, with a download of the test's own.
type artifacts struct {
	runicornapiv1.UnimplementedArtifactServiceServer
	download func(*runicornapiv1.DownloadAssetRequest, grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]) error
}

func (a *artifacts) DownloadAsset(req *runicornapiv1.DownloadAssetRequest, stream grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]) error {
	if a.download == nil {
		return a.UnimplementedArtifactServiceServer.DownloadAsset(req, stream)
	}
	return a.download(req, stream)
}

func (b *backend) record(ctx context.Context, method string, req any) {
	if strings.HasPrefix(method, "/grpc.health.") {
		return
	}
	md, _ := metadata.FromIncomingContext(ctx)
	m, _ := req.(proto.Message)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls = append(b.calls, call{method: method, req: m, md: md})
}

// seen returns the calls so far and forgets them.
func (b *backend) seen() []call {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls := b.calls
	b.calls = nil
	return calls
}

func (b *backend) unaryInterceptor(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	b.record(ctx, info.FullMethod, req)
	if b.unary == nil || strings.HasPrefix(info.FullMethod, "/grpc.health.") {
		return handler(ctx, req)
	}
	return b.unary(ctx, req)
}

func (b *backend) streamInterceptor(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, &recordedStream{ServerStream: ss, method: info.FullMethod, b: b})
}

type recordedStream struct {
	grpc.ServerStream
	method string
	b      *backend
}

func (s *recordedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if err == nil {
		s.b.record(s.Context(), s.method, m)
	}
	return err
}

// dial starts the backend and returns a connection to it in memory.
func (b *backend) dial(tb testing.TB) *grpc.ClientConn {
	tb.Helper()
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(grpc.UnaryInterceptor(b.unaryInterceptor), grpc.StreamInterceptor(b.streamInterceptor))
	runicornapiv1.RegisterExperimentServiceServer(srv, b)
	runicornapiv1.RegisterMetricServiceServer(srv, &b.metrics)
	runicornapiv1.RegisterArtifactServiceServer(srv, &b.artifacts)
	runicornapiv1.RegisterRemoteServiceServer(srv, b)
	runicornapiv1.RegisterViewerServiceServer(srv, b)
	b.health = health.NewServer()
	healthpb.RegisterHealthServer(srv, b.health)
	var done sync.WaitGroup
	done.Go(func() {
		if err := srv.Serve(lis); err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	conn, err := grpc.NewClient("passthrough:///inprocess",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
		srv.Stop()
		done.Wait()
	})
	return conn
}

// serve starts the HTTP side in front of a backend.
func serve(tb testing.TB, b *backend, change ...func(*Config)) *httptest.Server {
	tb.Helper()
	cfg := Config{Conn: b.dial(tb), Health: b.health, OpenAPI: []byte("{}")}
	for _, c := range change {
		c(&cfg)
	}
	h, err := New(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	srv := httptest.NewServer(h)
	tb.Cleanup(srv.Close)
	return srv
}

// request describes a request as a table shows it.
type request struct {
	method string // GET if empty
	path   string
	host   string
	body   string
	header map[string]string
}

// answer is a received response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request and reads the whole answer.
func do(tb testing.TB, srv *httptest.Server, in request) answer {
	tb.Helper()
	resp := open(tb, srv, in)
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		tb.Fatalf("read the answer: %v", err)
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}
}

// open sends a request and leaves the answer to be read.
func open(tb testing.TB, srv *httptest.Server, in request) *http.Response {
	tb.Helper()
	method := in.method
	if method == "" {
		method = http.MethodGet
	}
	req, err := http.NewRequestWithContext(tb.Context(), method, srv.URL+in.path, strings.NewReader(in.body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Host = in.host
	for k, v := range in.header {
		req.Header.Set(k, v)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	return resp
}

// errorOf reads an answer that must be an error.
func errorOf(tb testing.TB, a answer) errorJSON {
	tb.Helper()
	if got := a.header.Get("Content-Type"); got != "application/json" {
		tb.Errorf("Content-Type is %q, want application/json", got)
	}
	var body errorBody
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		tb.Fatalf("%d is no error of ours: %v\n%s", a.status, err, a.body)
	}
	return body.Error
}

var jsonBody = map[string]string{"Content-Type": "application/json"}

// golden compares with a file of testdata/golden.
func golden(tb testing.TB, name, got string) {
	tb.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		tb.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// indented makes JSON comparable: protojson varies its spaces on purpose.
func indented(tb testing.TB, text string) string {
	tb.Helper()
	var tight, out bytes.Buffer
	if err := json.Compact(&tight, []byte(text)); err != nil {
		tb.Fatalf("%v in %s", err, text)
	}
	if err := json.Indent(&out, tight.Bytes(), "", "  "); err != nil {
		tb.Fatal(err)
	}
	return strings.TrimRight(out.String(), "\n") + "\n"
}
