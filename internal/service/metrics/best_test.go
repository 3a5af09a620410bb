package metrics

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestBest_OverAllViewers(t *testing.T) {
	h := newHarness(t)
	created := time.Unix(1_700_000_000, 0)
	add := func(viewer int, name string, age time.Duration, points ...[3]float64) {
		h.Upstreams[viewer].AddRun(demotest.Run{
			ID: "20260101_000000_" + name, Project: "mine", Name: name, Created: created.Add(-age), Events: servicetest.PointsAt(1000, points...),
		})
	}
	// The run of the old generation has the best extreme, that of the middle one the best
	// last value, and two runs differ only in age.
	add(0, "spike1", 3*time.Hour, [3]float64{1, 0.9, 1}, [3]float64{2, 0.1, 2})
	add(1, "steady", 2*time.Hour, [3]float64{1, 0.2, 1}, [3]float64{2, 0.8, 2}, [3]float64{3, 0.8, 3})
	add(2, "young1", 0, [3]float64{4, 0.8, 1}, [3]float64{2, 0.8, 2})
	add(2, "older1", time.Hour, [3]float64{2, 0.8, 7}, [3]float64{9, -5, 9})
	h.Upstreams[2].AddRun(demotest.Run{ID: "20260101_000000_nothin", Project: "mine", Name: "none", Events: []byte(servicetest.MetricsLine(1, `"loss": NaN, "other": 99`))})
	h.Upstreams[2].AddRun(demotest.Run{ID: "20260101_000000_diverg", Project: "mine", Name: "nan", Events: append(
		servicetest.PointsAt(1000, [3]float64{1, 0.3, 1}), []byte(servicetest.MetricsLine(2, `"loss": Infinity`))...)})
	mine := "project = mine"
	tests := []struct {
		name       string
		req        *runicornapiv1.FindBestExperimentRequest
		runID      string
		value      float64
		step       int64
		time       int64
		candidates int32
	}{
		{"the greatest value of any", &runicornapiv1.FindBestExperimentRequest{Viewer: "-", Filter: mine}, "spike1", 0.9, 1, 1001, 5},
		{"the least value", &runicornapiv1.FindBestExperimentRequest{Viewer: "-", Filter: mine, Goal: runicornapiv1.Goal_GOAL_MINIMIZE}, "older1", -5, 9, 1009, 5},
		{"the greatest last value: the earliest step, as equals do", &runicornapiv1.FindBestExperimentRequest{
			Viewer: "-", Filter: mine, Ranking: runicornapiv1.Ranking_RANKING_LAST,
		}, "steady", 0.8, 3, 1003, 5},
		{"the oldest of equals at one step", &runicornapiv1.FindBestExperimentRequest{Viewer: "v072", Filter: mine}, "older1", 0.8, 2, 1007, 3},
		{"among named ones", &runicornapiv1.FindBestExperimentRequest{RunIds: []string{
			"viewers/v072/experiments/20260101_000000_diverg", "viewers/v072/experiments/20260101_000000_nothin",
		}}, "diverg", 0.3, 1, 1001, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.MetricName = "loss"
			resp, err := h.Metrics.FindBestExperiment(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.GetExperiment(); got.GetRunId() != "20260101_000000_"+tt.runID || got.GetProject() != "mine" ||
				got.GetView() != runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC {
				t.Errorf("got experiment %v", got)
			}
			if resp.GetValue() != tt.value || resp.GetStep() != tt.step || resp.GetTime().AsTime().Unix() != tt.time || resp.GetCandidateCount() != tt.candidates || !resp.GetComplete() {
				t.Errorf("got %v", resp)
			}
		})
	}
	t.Run("nobody has the metric", func(t *testing.T) {
		resp, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{Filter: mine, MetricName: "none"})
		if err != nil || resp.Experiment != nil || resp.Value != nil || resp.Step != nil || resp.GetExaminedCount() != 1 || resp.GetCandidateCount() != 0 {
			t.Errorf("%v, %v", resp, err)
		}
	})
	t.Run("all experiments of a Viewer, where nothing is said", func(t *testing.T) {
		resp, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{Viewer: "v060", MetricName: "loss"})
		if err != nil || resp.GetExaminedCount() < 2 {
			t.Errorf("%v, %v", resp, err)
		}
	})
	t.Run("no Viewer answers", func(t *testing.T) {
		for _, u := range h.Upstreams {
			u.Down()
		}
		_, err := h.Metrics.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{
			Viewer: "-", Filter: "project = other", MetricName: "loss",
		})
		if err != nil { // the lists may still be fresh
			apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
		}
	})
}
