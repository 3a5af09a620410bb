package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// queryLimit bounds the wait until a query has data: rates need two scrapes.
const queryLimit = 90 * time.Second

// TestPrometheus_AnswersEveryQuery runs a real Prometheus that scrapes the demo while it
// is used. Every query of the dashboard returns data, every expression of an alert can be
// evaluated and names existing metrics, and promtool reports nothing.
func TestPrometheus_AnswersEveryQuery(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"prometheus", "promtool"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("RUNICORN_DEPLOY") == "all" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
	server := startDemo(t)
	load(t, server)
	metrics := get(t, "http://"+server.HTTPAddr+"/metrics")
	promtool(t, metrics, "check", "metrics")
	promtool(t, "", "check", "rules", "prometheus/rules.yml")
	promtool(t, "", "check", "config", "prometheus/prometheus.yml")

	p := startPrometheus(t, server.HTTPAddr)
	for _, q := range dashboardQueries(t) {
		p.await(t, q)
	}
	for _, expr := range ruleExpressions(t) {
		if _, err := p.query(t.Context(), expr); err != nil {
			t.Errorf("%s: %v", expr, err)
		}
		for _, name := range metricNames.FindAllString(expr, -1) {
			p.await(t, name)
		}
	}
	if _, err := p.query(t.Context(), "sum by (viewer"); err == nil {
		t.Error("a query that is none has an answer")
	}
}

// metricNames finds the metrics in an expression.
var metricNames = regexp.MustCompile(`\b(?:runicorn_grpc|grpc_server|process|go)_[a-z_]+`)

func startDemo(t *testing.T) *serverproc.Process {
	t.Helper()
	server, err := binary.Start(t.Context(), "--demo")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// load uses the server until the test ends: a tail, and each second a list, a filter that
// reads runs, and a call that fails.
func load(t *testing.T, server *serverproc.Process) {
	t.Helper()
	conn, err := grpc.NewClient(server.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	experiments, metrics := runicornapiv1.NewExperimentServiceClient(conn), runicornapiv1.NewMetricServiceClient(conn)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := metrics.TailMetrics(ctx, &runicornapiv1.TailMetricsRequest{Filter: "run_id:*", Until: runicornapiv1.TailUntil_TAIL_UNTIL_FOREVER})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for ctx.Err() == nil {
			_, _ = experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Filter: "metrics.loss.last < 1000"})
			_, _ = experiments.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: "none"})
			if all, err := experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{}); err == nil {
				for _, e := range all.GetExperiments() {
					_, _ = metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{RunId: e.GetRunId()})
				}
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		<-ended
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}

// prometheus is a running Prometheus.
type prometheus struct{ url string }

// startPrometheus starts one with the configuration that is shipped, which scrapes a
// server every second.
func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := regexp.MustCompile(`(?s)- targets:.*`).ReplaceAllString(string(text), `- targets: ["`+target+`"]`)
	config = strings.ReplaceAll(config, "15s", "1s")
	rules, err := filepath.Abs("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(config, "rules.yml", rules)), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), "prometheus", "--config.file="+path,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Logf("prometheus ended with %v:\n%s", err, output.String())
		}
	})
	return &prometheus{url: "http://" + addr}
}

// query returns how many series an expression has now.
func (p *prometheus) query(ctx context.Context, expr string) (series int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/query?query="+url.QueryEscape(expr), http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer struct {
		Status, Error string
		Data          struct{ Result []json.RawMessage }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s: %s", resp.Status, answer.Error)
	}
	return len(answer.Data.Result), nil
}

// await waits until an expression has data.
func (p *prometheus) await(t *testing.T, expr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), queryLimit)
	defer cancel()
	for {
		series, err := p.query(ctx, expr)
		if err == nil && series > 0 {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Errorf("%s has no data: %v", expr, err)
			return
		}
	}
}

// dashboardQueries are the expressions of all panels.
func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("grafana/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	if len(queries) < 20 {
		t.Errorf("the dashboard has %d queries", len(queries))
	}
	return queries
}

// ruleExpressions are those of all alerts.
func ruleExpressions(t *testing.T) (exprs []string) {
	t.Helper()
	text, err := os.ReadFile("prometheus/rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct{ Rules []struct{ Expr string } }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			exprs = append(exprs, rule.Expr)
		}
	}
	return exprs
}

// promtool must find nothing to complain about.
func promtool(t *testing.T, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
