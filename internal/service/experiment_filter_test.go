package service

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// TestFiltersOfExperiments is the language over the six runs; package filter has
// the rest of it.
func TestFiltersOfExperiments(t *testing.T) {
	h := newHarnessWith(t, setup{viewer: servicetest.EmptyViewers}, demotest.Gen06)
	servicetest.AddSix(h.Upstreams[0])
	for _, tt := range []struct{ filter, want string }{
		{`path = "nlp/bert/large"`, "56"},
		{`path = "vision*"`, "4321"},
		{`path = "vision/*"`, "21"},
		{`path:vision`, "321"},
		{`project != vision`, "564"},
		{`name:"LARGE"`, "56"},
		{`NOT name:*`, "3"},
		{`alias:*`, "51"},
		{`alias = Baseline`, "1"},
		{`alias != Baseline`, "5"},
		{`-alias:*`, "6432"},
		{`tags:big -tags:gpu`, "2"},
		{`tags:*`, "21"},
		{`status = RUNNING OR status = FAILED`, "32"},
		{`status = EXPERIMENT_STATUS_FINISHED`, "561"},
		{`status != FINISHED`, "432"},
		{`create_time > 2026-03-04`, "564"},
		{`create_time >= "2026-03-05T12:00:00Z" AND run_id = 20260305_120000_000005`, "5"},
		{`viewer = v060 AND baseline`, "1"},
		{`viewer = other`, ""},
		{`run_id:*`, "564321"},
		{`(project = nlp OR alias = Baseline) AND status = FINISHED`, "561"},
	} {
		t.Run(tt.filter, func(t *testing.T) {
			resp, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: tt.filter})
			if err != nil {
				t.Fatal(err)
			}
			if got := servicetest.ShortIDs(resp.GetExperiments()); got != tt.want || !resp.GetComplete() {
				t.Errorf("got %q, complete %t, want %q", got, resp.GetComplete(), tt.want)
			}
		})
	}
}

// TestFiltersThatAreRefused: every request with an invalid filter reports the position of
// the error, without a request to a Viewer.
func TestFiltersThatAreRefused(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	asked := h.Upstreams[0].Requests("GET /api/runs")
	calls := map[string]func(filter string) error{
		"ListExperiments": func(filter string) error {
			_, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Filter: filter})
			return err
		},
		"WatchExperiments": func(filter string) error {
			stream, err := h.Experiments.WatchExperiments(t.Context(), &runicornapiv1.WatchExperimentsRequest{Filter: filter})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"TailMetrics": func(filter string) error {
			stream, err := h.Metrics.TailMetrics(t.Context(), &runicornapiv1.TailMetricsRequest{Filter: filter})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
		"CompareExperiments": func(filter string) error {
			_, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{Filter: filter, MetricNames: []string{"loss"}})
			return err
		},
		"FindBestExperiment": func(filter string) error {
			_, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{Filter: filter, MetricName: "loss"})
			return err
		},
		"ExportExperiment": func(filter string) error {
			stream, err := h.Experiments.ExportExperiment(t.Context(), &runicornapiv1.ExportExperimentRequest{Filter: filter})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		},
	}
	for _, tt := range []struct{ filter, says string }{
		{`status = DONE`, "RUNNING"},
		{`size = 1`, "at character 1"},
		{`name = a && name = b`, "AND"},
		{`name = a OR name = b AND name = c`, "parentheses"},
		{`metrics."val/acc".max > high`, `"metrics.\"val/acc\".max" is compared with a number`},
		{`metrics.loss = 1`, "must end in .last"},
		{`start_time > 5`, "a time"},
		{`duration > long`, "a duration"},
		{strings.Repeat("(", 100) + "a", "deep"},
		{"name = \"" + strings.Repeat("a", 2048) + `"`, "2048"},
	} {
		for name, call := range calls {
			t.Run(name+" "+tt.filter[:min(len(tt.filter), 30)], func(t *testing.T) {
				err := call(tt.filter)
				apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
				if text := status.Convert(err).Message(); !strings.Contains(text, tt.says) || !strings.Contains(text, "filter") || len(text) > 1024 {
					t.Errorf("got %q, want it to say %q", text, tt.says)
				}
			})
		}
	}
	if got := h.Upstreams[0].Requests("GET /api/runs"); got != asked {
		t.Errorf("%d requests reached the Viewer", got-asked)
	}
}
