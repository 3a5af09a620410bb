package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
)

func TestTheMetricsShowCallsRequestsViewersAndTheBuild(t *testing.T) {
	t.Parallel()
	p := start(t, "--viewer=lab="+newViewer(t, demotest.Gen06).URL)
	conn := p.dial(t)
	awaitHealth(t, conn, "viewer/lab", healthpb.HealthCheckResponse_SERVING)
	viewers := runicornapiv1.NewViewerServiceClient(conn)
	if _, err := viewers.GetConfig(t.Context(), &runicornapiv1.GetConfigRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := runicornapiv1.NewExperimentServiceClient(conn).GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: "none"}); err == nil {
		t.Fatal("there is a run called none")
	}
	_, body := p.get(t, plainClient(t), "/metrics", "")
	for _, want := range []string{
		`grpc_server_handled_total\{grpc_code="OK",grpc_method="GetConfig",grpc_service="runicornapi.v1.ViewerService",grpc_type="unary"\} 1`,
		`grpc_server_handled_total\{.*grpc_method="TailMetrics".*\} 0`,
		`runicorn_grpc_build_info\{go_version="go.*",version=".*"\} 1`,
		`runicorn_grpc_viewer_up\{viewer="lab"\} 1`,
		`runicorn_grpc_panics_total 0`,
		`runicorn_grpc_errors_total\{reason="RUN_NOT_FOUND"\} 1`,
		`runicorn_grpc_viewer_share_ratio 0.2`,
		`runicorn_grpc_viewer_share_used_up\{viewer="lab"\} 0`,
		`runicorn_grpc_viewer_background_seconds_total\{viewer="lab"\} [0-9]`,
		`runicorn_grpc_tail_stale_seconds 0`,
		`runicorn_grpc_upstream_requests_total\{method="GET",outcome="ok",route="/api/config",viewer="[a-z]+"\} 1`,
		`runicorn_grpc_upstream_request_duration_seconds_count\{method="GET",route="/api/health",viewer="[a-z]+"\} [1-9]`,
		`runicorn_grpc_upstream_received_bytes_total\{method="GET",route="/openapi.json",viewer="[a-z]+"\} [1-9]`,
		`runicorn_grpc_cache_bytes 0`,
		`runicorn_grpc_cache_runs 0`,
		`runicorn_grpc_tail_followed_runs 0`,
		`runicorn_grpc_tail_subscribers 0`,
		`runicorn_grpc_tail_retained_bytes 0`,
		`runicorn_grpc_tail_resets_total 0`,
		`runicorn_grpc_tail_malformed_lines_total 0`,
		`runicorn_grpc_tail_newest_point_lag_seconds_count 0`,
		`go_goroutines [1-9]`,
		`process_open_fds [1-9]`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(body) {
			t.Errorf("no line %s", want)
		}
	}
	for line := range strings.Lines(body) {
		if strings.Contains(line, "runicorn_") && strings.Contains(line, "127.0.0.1") {
			t.Errorf("an address in a label: %s", line)
		}
	}
}

func TestTheMetricsShowTheSearchIndex(t *testing.T) {
	t.Parallel()
	p := start(t, "--viewer=lab="+newViewer(t, demotest.Gen06).URL)
	experiments := runicornapiv1.NewExperimentServiceClient(p.dial(t))
	if _, err := experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{OrderBy: "metrics.loss.min"}); err != nil {
		t.Fatal(err)
	}
	_, body := p.get(t, plainClient(t), "/metrics", "")
	for _, want := range []string{
		`runicorn_grpc_search_runs [1-9]`,
		`runicorn_grpc_search_digested_runs [1-9]`,
		`runicorn_grpc_search_waiting_runs 0`,
		`runicorn_grpc_search_bytes [1-9]`,
		`runicorn_grpc_search_oldest_digest_timestamp_seconds [1-9]`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(body) {
			t.Errorf("no line %s", want)
		}
	}
}

func TestTheLogHasTheFormAndTheLevelOfTheFlags(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"text": "level=WARN msg=loud", "json": `"level":"WARN","msg":"loud"`} {
		out := newOutput()
		log, err := newLogger(&Config{LogLevel: "warn", LogFormat: format}, out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("quiet")
		log.Warn("loud")
		if got := out.String(); !strings.Contains(got, want) || strings.Contains(got, "quiet") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestAViewerThatCannotBeReachedIsLogged(t *testing.T) {
	t.Parallel()
	viewer := httptest.NewServer(http.NotFoundHandler())
	viewer.Close()
	p := start(t, "--viewer=lab="+viewer.URL)
	viewers := runicornapiv1.NewViewerServiceClient(p.dial(t))
	if _, err := viewers.GetConfig(t.Context(), &runicornapiv1.GetConfigRequest{}); err == nil {
		t.Fatal("no error")
	}
	if log := p.stderr.String(); strings.Count(log, "msg=\"viewer unreachable\" viewer=lab") != 1 {
		t.Errorf("log:\n%s", log)
	}
}

func TestTracingIsOffUnlessTheStandardVariablesEnableIt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		env  string
		want bool
	}{
		{"", false},
		{"OTEL_SERVICE_NAME=x", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x", true},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://x", true},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=otlp", true},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_TRACES_EXPORTER=none", false},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_SDK_DISABLED=TRUE", false},
	} {
		if got := tracingWanted(environment(tc.env)); got != tc.want {
			t.Errorf("%q: %v, want %v", tc.env, got, tc.want)
		}
	}
}

// environment is the lookup of variables written as A=B C=D.
func environment(text string) func(string) string {
	return func(name string) string {
		for pair := range strings.FieldsSeq(text) {
			if value, found := strings.CutPrefix(pair, name+"="); found {
				return value
			}
		}
		return ""
	}
}

func TestAnUnknownTraceProtocolIsBadConfiguration(t *testing.T) {
	t.Parallel()
	stderr := newOutput()
	env := environment("OTEL_EXPORTER_OTLP_ENDPOINT=http://x OTEL_EXPORTER_OTLP_PROTOCOL=carrier-pigeon")
	if code := run(t.Context(), nil, env, io.Discard, stderr); code != exitUsage || !strings.Contains(stderr.String(), "OTEL_EXPORTER_OTLP_PROTOCOL") {
		t.Errorf("code %d:\n%s", code, stderr)
	}
}

func TestSpansOfCallsReachTheCollectorBeforeTheProcessEnds(t *testing.T) {
	var spans atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil && r.URL.Path == "/v1/traces" && strings.Contains(string(body), "ListViewers") {
			spans.Add(1)
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	// The exporter reads the environment of the process by itself.
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	p := startWith(t, environment("OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL))
	viewers := runicornapiv1.NewViewerServiceClient(p.dial(t))
	if _, err := viewers.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if code := p.wait(t); code != exitOK || spans.Load() != 1 {
		t.Errorf("code %d, %d exports with the call:\n%s", code, spans.Load(), p.stderr)
	}
}
