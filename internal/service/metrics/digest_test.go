package metrics

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// TestMetrics_OfARunThatDoesNotFit compares the responses of a server whose cache holds
// the run with those of a server that has only its digest.
func TestMetrics_OfARunThatDoesNotFit(t *testing.T) {
	const rows = 10_000
	var log strings.Builder
	for step := range rows {
		data := `"loss": ` + []string{"1.5", "2.5", "-0.5", "NaN"}[step%1000/250] + `, "stage": "train"`
		if step == 4321 {
			data = `"loss": -9.25, "stage": "odd", "seed": 1152921504606846977`
		}
		log.WriteString(servicetest.MetricsLine(step, data))
	}
	downsample := &runicornapiv1.Downsample{MaxPoints: 24}
	for _, generation := range []demotest.Generation{demotest.Gen05, demotest.Gen07} {
		h := newHarness(t, generation)
		id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Status: "finished", Events: []byte(log.String())})
		cache := runcache.New(runcache.Config{MaxBytes: 160 << 10})
		t.Cleanup(cache.Close)
		small := replica(t, h, func(c *Config) { c.Cache = cache })
		same := func(name string, call func(m runicornapiv1.MetricServiceClient) (proto.Message, error)) {
			t.Run(string(generation)+": "+name+" is the same", func(t *testing.T) {
				want, err := call(h.Metrics)
				if err != nil {
					t.Fatal(err)
				}
				got, err := call(small.Metrics)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.EquateNaNs(),
					protocmp.IgnoreFields(&runicornapiv1.GetMetricsResponse{}, "read_time"), protocmp.IgnoreFields(&runicornapiv1.ListMetricsResponse{}, "read_time"),
					protocmp.IgnoreFields(&runicornapiv1.FindBestExperimentResponse{}, "oldest_digest_time")); diff != "" {
					t.Errorf("(-whole +digest):\n%s", diff)
				}
			})
		}
		same("ListMetrics", func(m runicornapiv1.MetricServiceClient) (proto.Message, error) {
			return m.ListMetrics(t.Context(), &runicornapiv1.ListMetricsRequest{RunId: id})
		})
		for _, req := range []*runicornapiv1.GetMetricsRequest{
			{Last: new(int32(5))},
			{Limit: new(int32(5))},
			{MinStep: new(int64(rows - 9))},
			{MaxStep: new(int64(9))},
			{MetricNames: []string{"seed", "none"}},
			{Last: new(int32(9000)), Downsample: downsample},
			{},
		} {
			same("GetMetrics "+req.String(), func(m runicornapiv1.MetricServiceClient) (proto.Message, error) {
				req.RunId = id
				return m.GetMetrics(t.Context(), req)
			})
		}
		for _, ranking := range []runicornapiv1.Ranking{runicornapiv1.Ranking_RANKING_BEST, runicornapiv1.Ranking_RANKING_LAST} {
			for _, goal := range []runicornapiv1.Goal{runicornapiv1.Goal_GOAL_MINIMIZE, runicornapiv1.Goal_GOAL_MAXIMIZE} {
				same("FindBest "+ranking.String()+" "+goal.String(), func(m runicornapiv1.MetricServiceClient) (proto.Message, error) {
					return m.FindBestExperiment(t.Context(), &runicornapiv1.FindBestExperimentRequest{RunIds: []string{id}, MetricName: "loss", Ranking: ranking, Goal: goal})
				})
			}
		}
		for _, alignment := range []runicornapiv1.Alignment{runicornapiv1.Alignment_ALIGNMENT_STEP, runicornapiv1.Alignment_ALIGNMENT_RELATIVE_TIME} {
			same("Compare "+alignment.String(), func(m runicornapiv1.MetricServiceClient) (proto.Message, error) {
				return m.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: []string{id}, MetricNames: []string{"loss"}, Alignment: alignment})
			})
		}
		t.Run(string(generation)+": a downsampled curve keeps what it must", func(t *testing.T) {
			if got := cache.Stats(); got.Runs != 1 || got.Bytes > 160<<10 {
				t.Errorf("the cache holds %+v", got)
			}
			resp, err := small.Metrics.GetMetrics(t.Context(), &runicornapiv1.GetMetricsRequest{RunId: id, Downsample: downsample})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range resp.GetSeries() {
				n := len(s.GetSteps())
				switch s.GetMetricName() {
				case "loss":
					if !slices.Contains(s.GetValues(), -9.25) || n != 24 || s.GetSteps()[0] != 0 || s.GetReturnedCount() != 24 || s.GetTotalCount() < 7500 {
						t.Errorf("%d of %d points from step %d", n, s.GetTotalCount(), s.GetSteps()[0])
					}
				case "stage":
					if n != 24 || !strings.Contains(strings.Join(s.GetTexts(), " "), "odd") || s.GetTotalCount() != rows {
						t.Errorf("%d texts of %d: %v", n, s.GetTotalCount(), s.GetTexts())
					}
				}
			}
			compared, err := small.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: []string{id}, MetricNames: []string{"loss"}, Downsample: downsample})
			if err != nil {
				t.Fatal(err)
			}
			c := compared.GetComparisons()[0]
			if n := c.GetSeries()[0].GetTotalCount(); len(c.GetSteps()) != 24 || n != 7500 && n != 7501 {
				t.Errorf("%d compared points of %d", len(c.GetSteps()), n)
			}
		})
	}
}
