package compat

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// backend is a gRPC server of all five services that responds as its fields define.
type backend struct {
	runicornapiv1.UnimplementedArtifactServiceServer
	runicornapiv1.UnimplementedRemoteServiceServer
	runicornapiv1.UnimplementedViewerServiceServer
	experiments
	metricStreams

	unary func(req proto.Message) (proto.Message, error)

	mu    sync.Mutex
	calls []proto.Message
	md    metadata.MD // of the last call
}

type experiments struct {
	runicornapiv1.UnimplementedExperimentServiceServer
	export func(*runicornapiv1.ExportExperimentRequest, grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error
}

func (e *experiments) ExportExperiment(req *runicornapiv1.ExportExperimentRequest, stream grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error {
	return e.export(req, stream)
}

type metricStreams struct {
	runicornapiv1.UnimplementedMetricServiceServer
	stream func(*runicornapiv1.StreamMetricsRequest, grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error
}

func (m *metricStreams) StreamMetrics(req *runicornapiv1.StreamMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	return m.stream(req, stream)
}

// intercept answers every unary call instead of its method.
func (b *backend) intercept(ctx context.Context, req any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	m := req.(proto.Message)
	b.mu.Lock()
	b.calls = append(b.calls, proto.Clone(m))
	b.md, _ = metadata.FromIncomingContext(ctx)
	b.mu.Unlock()
	return b.unary(m)
}

// serve starts the backend and, in front of it, the paths; it returns their URL.
func (b *backend) serve(tb testing.TB) string {
	tb.Helper()
	lis := bufconn.Listen(1 << 20)
	srv := grpc.NewServer(grpc.UnaryInterceptor(b.intercept))
	runicornapiv1.RegisterExperimentServiceServer(srv, &b.experiments)
	runicornapiv1.RegisterMetricServiceServer(srv, &b.metricStreams)
	runicornapiv1.RegisterArtifactServiceServer(srv, b)
	runicornapiv1.RegisterRemoteServiceServer(srv, b)
	runicornapiv1.RegisterViewerServiceServer(srv, b)
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
	handler := httptest.NewServer(New(Config{Conn: conn}))
	tb.Cleanup(func() {
		handler.Close()
		if err := conn.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
		srv.Stop()
		done.Wait()
	})
	return handler.URL
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	body string
}

// send makes one request. An error in the middle of the body is returned.
func send(tb testing.TB, method, url, body string) (reply, error) {
	tb.Helper()
	req, err := http.NewRequestWithContext(tb.Context(), method, url, strings.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer t")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{resp, string(text)}, err
}

// mustSend is send for a complete response.
func mustSend(tb testing.TB, method, url, body string) reply {
	tb.Helper()
	got, err := send(tb, method, url, body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, url, err)
	}
	return got
}

// sameJSON compares the content of two JSON texts.
func sameJSON(tb testing.TB, got, want string) {
	tb.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		tb.Fatalf("%s: %v", want, err)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		tb.Fatalf("no JSON: %v\n%s", err, got)
	}
	if diff := cmp.Diff(w, g); diff != "" {
		tb.Errorf("answer (-want +got):\n%s", diff)
	}
}

// failing is an error of the server with a reason.
func failing(code codes.Code, reason, message string, details ...*runicornapiv1.HostKey) error {
	st, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "runicorn-grpc"})
	for _, d := range details {
		if err == nil {
			st, err = st.WithDetails(d)
		}
	}
	if err != nil {
		panic(err)
	}
	return st.Err()
}
