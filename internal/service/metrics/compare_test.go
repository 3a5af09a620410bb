package metrics

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// compared is a series of a comparison without what its run explains.
func compared(u *servicetest.Upstream, id string, total int64, rows []uint32, values []float64) *runicornapiv1.ComparedSeries {
	fidelity := runicornapiv1.Fidelity_FIDELITY_EVENT_LOG
	if u.Name == "v053" {
		fidelity = runicornapiv1.Fidelity_FIDELITY_MERGED_TABLE
	}
	return &runicornapiv1.ComparedSeries{
		Viewer: u.Name, RunId: id, ResourceName: target.ResourceName(u.Name, id), Rows: rows, Values: values, Fidelity: fidelity, TotalCount: total,
	}
}

func TestCompare_AlignsAcrossViewers(t *testing.T) {
	h := newHarness(t)
	old, middle := h.Upstreams[0], h.Upstreams[1]
	a := old.AddRun(demotest.Run{Project: "p", Name: "a", Events: append(
		servicetest.PointsAt(100, [3]float64{0, 5, 0}, [3]float64{10, 4, 10}), []byte(servicetest.MetricsLine(20, `"loss": NaN, "only": 1`))...)})
	b := middle.AddRun(demotest.Run{Project: "p", Name: "b", Events: servicetest.PointsAt(5000, [3]float64{10, 8, 2}, [3]float64{5, 9, 0}, [3]float64{30, 7, 40})})
	ids := []string{target.ResourceName("v053", a), target.ResourceName("v060", b)}
	tests := []struct {
		name string
		req  *runicornapiv1.CompareExperimentsRequest
		want *runicornapiv1.MetricComparison
	}{
		{"on steps", &runicornapiv1.CompareExperimentsRequest{}, &runicornapiv1.MetricComparison{
			Steps: []int64{0, 5, 10, 30},
			Series: []*runicornapiv1.ComparedSeries{
				compared(old, a, 2, []uint32{0, 2}, []float64{5, 4}), compared(middle, b, 3, []uint32{1, 2, 3}, []float64{9, 8, 7}),
			},
		}},
		{"on some steps", &runicornapiv1.CompareExperimentsRequest{MinStep: new(int64(10)), MaxStep: new(int64(20))}, &runicornapiv1.MetricComparison{
			Steps:  []int64{10},
			Series: []*runicornapiv1.ComparedSeries{compared(old, a, 1, []uint32{0}, []float64{4}), compared(middle, b, 1, []uint32{0}, []float64{8})},
		}},
		{"on downsampled steps", &runicornapiv1.CompareExperimentsRequest{Downsample: &runicornapiv1.Downsample{MaxPoints: 2}}, &runicornapiv1.MetricComparison{
			Steps: []int64{0, 5, 10, 30},
			Series: []*runicornapiv1.ComparedSeries{
				compared(old, a, 2, []uint32{0, 2}, []float64{5, 4}), compared(middle, b, 3, []uint32{1, 3}, []float64{9, 7}),
			},
		}},
		{"on time since each run's first point", &runicornapiv1.CompareExperimentsRequest{Alignment: runicornapiv1.Alignment_ALIGNMENT_RELATIVE_TIME}, &runicornapiv1.MetricComparison{
			Seconds: []float64{0, 2, 10, 40},
			Series: []*runicornapiv1.ComparedSeries{
				compared(old, a, 2, []uint32{0, 2}, []float64{5, 4}), compared(middle, b, 3, []uint32{0, 1, 3}, []float64{9, 8, 7}),
			},
		}},
		{"on an even grid of time", &runicornapiv1.CompareExperimentsRequest{
			Alignment: runicornapiv1.Alignment_ALIGNMENT_RELATIVE_TIME, Downsample: &runicornapiv1.Downsample{MaxPoints: 5},
		}, &runicornapiv1.MetricComparison{
			Seconds: []float64{0, 10, 20, 30, 40},
			Series: []*runicornapiv1.ComparedSeries{
				compared(old, a, 2, []uint32{0, 1}, []float64{5, 4}), compared(middle, b, 3, []uint32{0, 1, 2, 3, 4}, []float64{9, 8, 8, 8, 7}),
			},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.req.RunIds, tt.req.MetricNames, tt.want.MetricName = ids, []string{"loss"}, "loss"
			resp, err := h.Metrics.CompareExperiments(t.Context(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			want := &runicornapiv1.CompareExperimentsResponse{Comparisons: []*runicornapiv1.MetricComparison{tt.want}, Complete: true}
			if diff := cmp.Diff(want, resp, protocmp.Transform()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("a metric that one of them has is compared alone", func(t *testing.T) {
		resp, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: ids, MetricPrefixes: []string{""}})
		if err != nil || len(resp.GetComparisons()) != 2 {
			t.Fatalf("%v, %v", resp, err)
		}
		if only := resp.GetComparisons()[1]; only.GetMetricName() != "only" || len(only.GetSeries()) != 1 {
			t.Errorf("got %v", only)
		}
	})
	t.Run("a run that is named twice is compared once", func(t *testing.T) {
		resp, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: []string{a, ids[0]}, MetricNames: []string{"loss"}})
		if err != nil || len(resp.GetComparisons()[0].GetSeries()) != 1 {
			t.Errorf("%v, %v", resp, err)
		}
	})
}

// reasons are why runs were not read, by run id.
func reasons(notRead []*runicornapiv1.ExperimentResult) map[string]codes.Code {
	out := map[string]codes.Code{}
	for _, n := range notRead {
		out[n.GetRunId()] = codes.Code(n.GetError().GetCode()) //nolint:gosec // a gRPC code
	}
	return out
}

func TestCompare_ReportsWhatWasNotRead(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	newRuns := func(u *servicetest.Upstream, n int) (ids []string) {
		for i := range n {
			ids = append(ids, u.AddRun(demotest.Run{
				ID: fmt.Sprintf("20260101_00000%d_%06x", i, i), Project: "mine", Name: "n",
				Created: start.Add(time.Duration(i) * time.Second), Events: servicetest.PointsAt(0, [3]float64{0, float64(i), 1}),
			}))
		}
		return ids
	}
	mine := "project = mine"
	t.Run("the newest are read, and the rest is named", func(t *testing.T) {
		h := newHarness(t, demotest.Gen07)
		ids := newRuns(h.Upstreams[0], 4)
		for _, req := range []*runicornapiv1.CompareExperimentsRequest{{Filter: mine}, {RunIds: ids}} {
			req.MetricNames, req.MaxRuns = []string{"loss"}, 2
			resp, err := h.Metrics.CompareExperiments(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]codes.Code{ids[0]: codes.ResourceExhausted, ids[1]: codes.ResourceExhausted}
			if diff := cmp.Diff(want, reasons(resp.GetNotRead())); diff != "" || resp.GetComplete() {
				t.Errorf("complete %t, not read (-want +got):\n%s", resp.GetComplete(), diff)
			}
			if got := resp.GetComparisons()[0].GetSeries(); len(got) != 2 || got[0].GetRunId() != ids[3] {
				t.Errorf("read %v", got)
			}
		}
	})
	t.Run("an unknown run is named", func(t *testing.T) {
		h := newHarness(t, demotest.Gen07)
		ids := newRuns(h.Upstreams[0], 1)
		resp, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: []string{"none", ids[0]}, MetricNames: []string{"loss"}})
		if err != nil || resp.GetComplete() || reasons(resp.GetNotRead())["none"] != codes.NotFound || len(resp.GetComparisons()) != 1 {
			t.Errorf("%v, %v", resp, err)
		}
	})
	t.Run("a Viewer that is down is named as a whole", func(t *testing.T) {
		h := newHarness(t, demotest.Gen06, demotest.Gen07)
		newRuns(h.Upstreams[0], 2)
		h.Upstreams[1].Down()
		resp, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{Viewer: "-", Filter: mine, MetricNames: []string{"loss"}})
		if err != nil || len(resp.GetNotRead()) != 1 || resp.GetNotRead()[0].GetViewer() != "v072" || len(resp.GetComparisons()[0].GetSeries()) != 2 {
			t.Errorf("%v, %v", resp, err)
		}
	})
	t.Run("what does not answer in time is named before the deadline", func(t *testing.T) {
		h := newHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		ids := newRuns(u, 3)
		u.Replace(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, ids[1]) {
				<-r.Context().Done()
			}
			return false
		})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		resp, err := h.Metrics.CompareExperiments(ctx, &runicornapiv1.CompareExperimentsRequest{RunIds: ids, MetricNames: []string{"loss"}})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]codes.Code{ids[1]: codes.DeadlineExceeded}, reasons(resp.GetNotRead())); diff != "" || len(resp.GetComparisons()[0].GetSeries()) != 2 {
			t.Errorf("%v, not read (-want +got):\n%s", resp, diff)
		}
	})
	t.Run("an answer that is too large ends the call", func(t *testing.T) {
		h := newHarness(t, demotest.Gen06)
		var ids []string
		for range 2 {
			ids = append(ids, h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: wideEvents(12_000)}))
		}
		_, err := h.Metrics.CompareExperiments(t.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: ids, MetricPrefixes: []string{""}})
		apierrtest.WantError(t, err, codes.ResourceExhausted, "ANSWER_TOO_LARGE")
	})
}
