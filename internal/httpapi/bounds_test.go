package httpapi

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// rawRequest writes a text on a new connection to a server and returns the connection.
func rawRequest(tb testing.TB, srv *httptest.Server, text string) net.Conn {
	tb.Helper()
	conn, err := (&net.Dialer{}).DialContext(tb.Context(), "tcp", srv.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() }) // the server may have closed it
	if _, err := io.WriteString(conn, text); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// TestBounds_ABodyThatDoesNotArriveHoldsNoConnection: on every route, refused ones too.
func TestBounds_ABodyThatDoesNotArriveHoldsNoConnection(t *testing.T) {
	t.Parallel()
	srv := serve(t, &backend{}, func(c *Config) {
		c.Compat = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.ReadAll(r.Body) })
		c.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
		c.Limits.BodyTimeout = 50 * time.Millisecond
	})
	for _, head := range []string{
		"POST /v1/experiments:findBest", "POST /v1/none", "POST /api/x", "POST /api/export", "POST /healthz", "GET /metrics", "POST /docs", "PUT /x",
		"POST /v1/experiments:findBest HTTP/1.1\r\nOrigin: https://evil.example", "POST /v1/experiments:findBest HTTP/1.1\r\nHost: evil.example",
	} {
		t.Run(head, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(head, "HTTP/1.1") {
				head += " HTTP/1.1"
			}
			if !strings.Contains(head, "Host:") {
				head += "\r\nHost: localhost"
			}
			conn := rawRequest(t, srv, head+"\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{}")
			if _, err := io.Copy(io.Discard, conn); err != nil { // ends when the server closes it
				t.Logf("read: %v", err)
			}
		})
	}
}

func TestBounds_TheDeadlineOfABodyDoesNotEndItsStream(t *testing.T) {
	t.Parallel()
	const limit = 20 * time.Millisecond
	b := &backend{}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		select {
		case <-time.After(5 * limit):
		case <-stream.Context().Done():
		}
		return stream.Send(&runicornapiv1.TailMetricsResponse{ResumeToken: "t"})
	}
	srv := serve(t, b, func(c *Config) { c.Limits.BodyTimeout, c.Limits.WriteStall = limit, limit })
	got := do(t, srv, request{method: "POST", path: "/v1/metrics:tail", body: `{"run_ids":["20200101_000000_abcdef"]}`, header: jsonBody})
	if got.status != 200 || !strings.Contains(got.body, `"t"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

// TestBounds_AClientThatDoesNotReadIsDisconnected: for answers of every kind.
func TestBounds_AClientThatDoesNotReadIsDisconnected(t *testing.T) {
	t.Parallel()
	ended := make(chan string, 8)
	b := &backend{unary: func(context.Context, any) (proto.Message, error) {
		return &runicornapiv1.GetMetricsResponse{RunId: strings.Repeat("x", 3<<20)}, nil
	}}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		for {
			if err := stream.Send(&runicornapiv1.TailMetricsResponse{ResumeToken: strings.Repeat("x", 64<<10)}); err != nil {
				ended <- "tail"
				return err
			}
		}
	}
	endless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				ended <- r.URL.Path
				return
			}
		}
	})
	srv := serve(t, b, func(c *Config) {
		c.Limits.WriteStall = 50 * time.Millisecond
		c.Compat, c.Metrics = endless, endless
	})
	for _, path := range []string{"/v1/metrics:tail?run_ids=20200101_000000_abcdef", "/api/x", "/api/export", "/metrics"} {
		rawRequest(t, srv, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}
	for range 4 {
		<-ended
	}
}

func TestConn_CountsStreamsAndCalls(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	b := &backend{unary: func(context.Context, any) (proto.Message, error) {
		started <- struct{}{}
		<-release
		return &runicornapiv1.ListExperimentsResponse{}, nil
	}}
	srv := serve(t, b, func(c *Config) { c.Conn = NewConn(c.Conn, 1, 1) })
	first := make(chan answer, 1)
	go func() { first <- do(t, srv, request{path: "/v1/experiments"}) }()
	<-started
	if e := errorOf(t, do(t, srv, request{path: "/v1/experiments"})); e.Reason != "SERVER_LIMIT" {
		t.Errorf("a second call: %+v", e)
	}
	if got := do(t, srv, request{path: "/healthz"}); got.status != 200 {
		t.Errorf("health needs no call: %d", got.status)
	}
	close(release)
	if got := <-first; got.status != 200 {
		t.Errorf("the first call: %d", got.status)
	}
}

func TestConn_RefusesHeadersThatCannotBeMetadata(t *testing.T) {
	t.Parallel()
	srv := serve(t, &backend{}, func(c *Config) { c.Conn = NewConn(c.Conn, 1, 1) })
	for _, value := range []string{"Bearer " + strings.Repeat("x", 60<<10), "Bearer " + strings.Repeat("x", 5000)} {
		for _, path := range []string{"/v1/experiments", "/v1/metrics:tail?run_ids=20200101_000000_abcdef"} {
			got := do(t, srv, request{path: path, header: map[string]string{"Authorization": value}})
			if e := errorOf(t, got); got.status != 400 || e.Reason != "INVALID_REQUEST" || len(got.body) > 4<<10 {
				t.Errorf("%s: %d %+v", path, got.status, e)
			}
		}
	}
}

func TestAPI_ABrokenConnectionIsNotReportedAsDrain(t *testing.T) {
	t.Parallel()
	draining := make(chan struct{})
	a := &api{Config: Config{Log: discard(), Draining: draining}}
	broken := status.Error(codes.Unavailable, "transport is closing")
	f := a.toAPIError(t.Context(), broken)
	if info := errorInfo(f.st.Proto()); f.httpStatus != 503 || info.GetReason() != "INTERNAL_ERROR" || retryAfter(f.st.Proto()) == 0 {
		t.Errorf("%d %v", f.httpStatus, f.st)
	}
	close(draining)
	if info := errorInfo(a.toAPIError(t.Context(), broken).st.Proto()); info.GetReason() != "SERVER_DRAINING" {
		t.Errorf("while draining: %v", info)
	}
}

func TestAPI_BodiesOfUnknownCallersAreNotRead(t *testing.T) {
	t.Parallel()
	srv := serve(t, &backend{}, func(c *Config) {
		type authorization struct{}
		c.Identify = func(r *http.Request) context.Context {
			return context.WithValue(r.Context(), authorization{}, r.Header.Get("Authorization"))
		}
		c.Admit = func(ctx context.Context) error {
			if ctx.Value(authorization{}) != "Bearer known" {
				return status.Error(codes.Unauthenticated, "no")
			}
			return nil
		}
	})
	conn := rawRequest(t, srv, "POST /v1/experiments:findBest HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 401 {
		t.Errorf("got %d before the body", resp.StatusCode)
	}
	if err := resp.Body.Close(); err != nil {
		t.Log(err)
	}
}

func TestGuard_LogsLittleOfARefusedRequest(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	allowed := 3
	b := &backend{}
	h, err := New(t.Context(), Config{
		Conn: b.dial(t), Health: b.health, OpenAPI: []byte("{}"), Log: slog.New(slog.NewTextHandler(&log, nil)),
		AllowLog: func() bool { allowed--; return allowed >= 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+strings.Repeat("p", 20_000), http.NoBody)
		r.Host = strings.Repeat("h", 20_000)
		r.Header.Set("Origin", strings.Repeat("o", 20_000))
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	if lines := strings.Count(log.String(), "request refused"); lines != 3 || log.Len() > 3<<10 {
		t.Errorf("%d lines, %d bytes", lines, log.Len())
	}
}

func TestAPI_CompressesLargeUnaryAnswersOnly(t *testing.T) {
	t.Parallel()
	size := 0
	b := &backend{unary: func(context.Context, any) (proto.Message, error) {
		return &runicornapiv1.ListProjectsResponse{NextPageToken: strings.Repeat("x", size)}, nil
	}}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		return stream.Send(&runicornapiv1.TailMetricsResponse{ResumeToken: strings.Repeat("x", 5000)})
	}
	b.download = func(_ *runicornapiv1.DownloadAssetRequest, stream grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]) error {
		return sendFile(stream, strings.Repeat("x", 5000))
	}
	srv := serve(t, b)
	accept := map[string]string{"Accept-Encoding": "gzip"}
	for path, tt := range map[string]struct {
		size int
		want string
	}{
		"/v1/projects?page_size=1":                                      {5000, "gzip"},
		"/v1/projects?page_size=2":                                      {100, ""},
		"/v1/metrics:tail?run_ids=20200101_000000_abcdef":               {0, ""},
		"/v1/experiments/20200101_000000_abcdef/assets/a.json:download": {0, ""},
	} {
		size = tt.size
		got := do(t, srv, request{path: path, header: accept})
		if enc := got.header.Get("Content-Encoding"); got.status != 200 || enc != tt.want {
			t.Errorf("%s: %d, encoding %q, want %q", path, got.status, enc, tt.want)
		}
		if tt.want == "" {
			continue
		}
		zipped, err := gzip.NewReader(strings.NewReader(got.body))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(zipped)
		if err != nil || !strings.Contains(string(text), strings.Repeat("x", size)) {
			t.Errorf("%v, %d bytes", err, len(text))
		}
	}
	if got := do(t, srv, request{path: "/v1/projects?page_size=3", header: map[string]string{"Accept-Encoding": "identity"}}); got.header.Get("Content-Encoding") != "" {
		t.Errorf("without being asked: %v", got.header)
	}
}

// sendFile sends a whole file.
func sendFile(stream grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse], text string) error {
	n := int64(len(text))
	for _, m := range []*runicornapiv1.DownloadAssetResponse{
		{Part: &runicornapiv1.DownloadAssetResponse_Header{Header: &runicornapiv1.FileHeader{FileName: "a.json", ContentType: "application/json", SizeBytes: &n, Etag: "e"}}},
		{Part: &runicornapiv1.DownloadAssetResponse_Chunk{Chunk: []byte(text)}},
		{Part: &runicornapiv1.DownloadAssetResponse_Trailer{Trailer: &runicornapiv1.FileTrailer{SizeBytes: n}}},
	} {
		if err := stream.Send(m); err != nil {
			return fmt.Errorf("send: %w", err)
		}
	}
	return nil
}

func TestBounds_LimitsConcurrentLargeBodies(t *testing.T) {
	t.Parallel()
	b := &backend{unary: func(context.Context, any) (proto.Message, error) {
		return &runicornapiv1.PurgeExperimentsResponse{}, nil
	}}
	reading := make(chan struct{}, 1)
	srv := serve(t, b, func(c *Config) {
		c.Compat = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if _, err := io.ReadFull(r.Body, make([]byte, smallBody+8192)); err == nil {
				reading <- struct{}{}
				_, _ = io.ReadAll(r.Body)
			}
		})
	})
	var held []net.Conn
	for range maxLargeBodies {
		head := fmt.Sprintf("POST /api/x HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", smallBody+8193)
		held = append(held, rawRequest(t, srv, head+strings.Repeat(" ", smallBody+8192)))
		<-reading
	}
	large := request{method: "POST", path: "/v1/experiments:purge", body: `{"run_ids":["20200101_000000_abcdef"]}` + strings.Repeat(" ", smallBody+8192), header: jsonBody}
	if got := do(t, srv, large); got.status != 429 || errorOf(t, got).Reason != "SERVER_LIMIT" {
		t.Errorf("one more: %d %s", got.status, got.body)
	}
	small := large
	small.body = strings.TrimSpace(large.body)
	if got := do(t, srv, small); got.status != 200 {
		t.Errorf("a small one: %d %s", got.status, got.body)
	}
	for _, conn := range held {
		if _, err := io.WriteString(conn, " "); err != nil {
			t.Fatal(err)
		}
	}
	for got := do(t, srv, large); got.status != 200; got = do(t, srv, large) {
		if got.status != 429 {
			t.Fatalf("after the others: %d %s", got.status, got.body)
		}
	}
}
