package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestPages(t *testing.T) {
	t.Parallel()
	answers := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	srv := serve(t, &backend{}, func(c *Config) {
		c.Metrics, c.Compat, c.OpenAPI = answers("metrics"), answers("compat"), []byte(`{"openapi":"3.1.0"}`)
		c.Protos = fstest.MapFS{"a/b.proto": {Data: []byte("syntax")}}
		c.GRPCPort = 4711
	})
	for path, want := range map[string]struct {
		contentType, text string
		page              bool
	}{
		"/":               {"text/html", `data-grpc-port="4711"`, true},
		"/docs":           {"text/html", "/page/docs.js", true},
		"/page/docs.js":   {"text/javascript", "openapi.json", true},
		"/page/style.css": {"text/css", "body", true},
		"/openapi.json":   {"application/json", `"openapi":"3.1.0"`, false},
		"/protos.zip":     {"application/zip", "a/b.proto", false},
		"/metrics":        {"text/plain", "metrics", false},
		"/api/health":     {"text/plain", "compat", false},
	} {
		got := do(t, srv, request{path: path})
		if got.status != http.StatusOK || !strings.HasPrefix(got.header.Get("Content-Type"), want.contentType) || !strings.Contains(got.body, want.text) {
			t.Errorf("%s: %d %s", path, got.status, got.header.Get("Content-Type"))
		}
		policy := got.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "'self'") != want.page {
			t.Errorf("%s: Content-Security-Policy %q", path, policy)
		}
	}
	got := do(t, srv, request{method: "POST", path: "/docs"})
	if e := errorOf(t, got); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "GET, HEAD" || e.Status != "UNIMPLEMENTED" {
		t.Errorf("POST /docs: %d %v", got.status, got.header)
	}
}

// TestPages_LoadNoExternalResources reads every file of the pages: all resources that it
// loads are served here, and no text is used as HTML.
func TestPages_LoadNoExternalResources(t *testing.T) {
	t.Parallel()
	srv := serve(t, &backend{})
	forbidden := regexp.MustCompile(`//[a-z]+\.|innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|<style|<script>| style=| on[a-z]+=|@import|\burl\(`)
	asked := regexp.MustCompile(`(?:from|src=|rel="stylesheet" href=)\s*"([^"]+)"`)
	files, err := pageFiles.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := pageFiles.ReadFile("page/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		if found := forbidden.Find(content); found != nil {
			t.Errorf("%s has %q", file.Name(), found)
		}
		for _, match := range asked.FindAllSubmatch(content, -1) {
			if got := do(t, srv, request{path: string(match[1])}); got.status != http.StatusOK {
				t.Errorf("%s asks for %s, which is %d", file.Name(), match[1], got.status)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	b := &backend{}
	srv := serve(t, b)
	check := func(path string, status int, want string) {
		t.Helper()
		got := do(t, srv, request{path: path})
		if got.status != status || !strings.Contains(got.body, want) {
			t.Errorf("%s: %d %s, want %d %s", path, got.status, got.body, status, want)
		}
	}
	b.health.SetServingStatus("viewer/main", healthpb.HealthCheckResponse_SERVING)
	b.health.SetServingStatus("viewer/old", healthpb.HealthCheckResponse_NOT_SERVING)
	check("/healthz", 200, "SERVING")
	check("/readyz", 200, `{"status":"SERVING","viewers":2,"viewers_serving":1,"detail":"1 of 2 viewers do not answer; /v1/viewers lists them"}`)
	check("/readyz?viewer=main", 200, "SERVING")
	check("/readyz?viewer=old", 503, "VIEWER_UNREACHABLE")
	check("/readyz?viewer=none", 404, "VIEWER_NOT_FOUND")
	b.health.Shutdown()
	check("/healthz", 503, "SERVER_DRAINING")
	check("/readyz", 503, "SERVER_DRAINING")
	if n := len(b.seen()); n != 0 {
		t.Errorf("probes made %d calls of the API", n)
	}
}

// TestOpenAPI_HasEveryRoute reads the generated document itself.
func TestOpenAPI_HasEveryRoute(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "gen", "openapi", "runicorn.openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct{ In, Name string }
			Responses  map[string]struct {
				Content map[string]json.RawMessage
			}
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	table, err := newRouteTable()
	if err != nil {
		t.Fatal(err)
	}
	described := 0
	for _, operations := range doc.Paths {
		described += len(operations)
	}
	if described != len(table) {
		t.Errorf("the document has %d operations, the server %d", described, len(table))
	}
	for key, rt := range table {
		op := doc.Paths[pathParam.ReplaceAllStringFunc(rt.template, func(p string) string { return "{" + lastName(strings.Trim(p, "{}")) + "}" })][strings.ToLower(rt.httpMethod)]
		want := "application/json"
		switch {
		case rt.output != nil:
			want = "application/octet-stream"
		case rt.stream:
			want = mediaEvents
		}
		if op.Responses["200"].Content[want] == nil {
			t.Errorf("%s does not answer %s in the document, but %v", key, want, op.Responses["200"].Content)
		}
		for _, p := range op.Parameters {
			if p.In == "query" && (rt.content != nil && rt.contentField == nil || findField(rt.input.Descriptor(), p.Name) == nil) {
				t.Errorf("%s has no parameter %s", key, p.Name)
			}
		}
	}
}

// TestUnary_JSON is the form of values, and which fields are always there.
func TestUnary_JSON(t *testing.T) {
	t.Parallel()
	b := &backend{unary: func(_ context.Context, req any) (proto.Message, error) {
		if _, ok := req.(*runicornapiv1.ListExperimentsRequest); ok {
			return &runicornapiv1.ListExperimentsResponse{TotalSize: proto.Int32(0)}, nil
		}
		return &runicornapiv1.GetExperimentResponse{Experiment: &runicornapiv1.Experiment{
			RunId: "r1", Path: "vision/ü", Status: runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING, Alias: new(""),
			BestMetric: &runicornapiv1.BestMetric{MetricName: "acc", Value: proto.Float64(0)},
			Summary: map[string]*runicornapiv1.Value{
				"big": {Kind: &runicornapiv1.Value_Integer{Integer: math.MaxInt64}},
				"inf": {Kind: &runicornapiv1.Value_Number{Number: math.Inf(1)}},
				"nan": {Kind: &runicornapiv1.Value_Number{Number: math.NaN()}},
				"off": {Kind: &runicornapiv1.Value_Boolean{}},
			},
		}}, nil
	}}
	srv := serve(t, b)
	for name, path := range map[string]string{"list_empty.json": "/v1/experiments", "experiment.json": "/v1/experiments/r1"} {
		got := do(t, srv, request{path: path, header: asEvents})
		if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json" || !strings.HasSuffix(got.body, "}\n") {
			t.Errorf("%s: %d %s", path, got.status, got.header.Get("Content-Type"))
		}
		golden(t, name, indented(t, got.body))
	}
}

func TestUnary_Deadline(t *testing.T) {
	t.Parallel()
	deadlines := make(chan time.Duration, 1)
	b := &backend{unary: func(ctx context.Context, _ any) (proto.Message, error) {
		deadline, _ := ctx.Deadline()
		deadlines <- time.Until(deadline)
		return &runicornapiv1.ListExperimentsResponse{}, nil
	}}
	srv := serve(t, b, func(c *Config) { c.Limits.UnaryTimeout = 20 * time.Second })
	for timeout, most := range map[string]time.Duration{"": 20 * time.Second, "7S": 7 * time.Second, "2M": 2 * time.Minute} {
		header := map[string]string{}
		if timeout != "" {
			header["Grpc-Timeout"] = timeout
		}
		do(t, srv, request{path: "/v1/experiments", header: header})
		if left := <-deadlines; left > most || left < most-5*time.Second {
			t.Errorf("Grpc-Timeout %q leaves %s, want about %s", timeout, left, most)
		}
	}
	got := do(t, srv, request{path: "/v1/experiments", header: map[string]string{"Grpc-Timeout": "1n"}})
	if e := errorOf(t, got); got.status != http.StatusGatewayTimeout || e.Reason != "CALLER_DEADLINE" {
		t.Errorf("a deadline that has passed: %d %s", got.status, e.Reason)
	}
}

func TestUnary_ClientDisconnects(t *testing.T) {
	t.Parallel()
	started, ended := make(chan struct{}), make(chan error, 1)
	b := &backend{unary: func(ctx context.Context, _ any) (proto.Message, error) {
		close(started)
		<-ctx.Done()
		ended <- ctx.Err()
		return nil, ctx.Err()
	}}
	srv := serve(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/v1/experiments:purge", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	go func() {
		<-started
		cancel()
	}()
	if resp, err := srv.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Error("the call was answered")
	}
	if err := <-ended; err == nil {
		t.Error("the method's context was not done")
	}
}
