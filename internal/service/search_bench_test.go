package service

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// BenchmarkSearchWarm ranks many runs by a metric when all of them are known, over gRPC and
// with the Viewer's list read again each second.
func BenchmarkSearchWarm(b *testing.B) {
	for _, n := range []int{2000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			h := newHarnessWith(b, setup{viewer: servicetest.EmptyViewers}, demotest.Gen07)
			for i := range n {
				var events []byte
				for step := range 3 {
					events = fmt.Appendf(events, `{"ts": 1.5, "type": "metrics", "data": {"global_step": %d, "val/acc": %g, "val/loss": 0.5, "a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}}`+"\n", step, float64((i*7919)%n)/float64(n))
				}
				h.Upstreams[0].AddRun(demotest.Run{Path: fmt.Sprintf("p/%d", i/50), Status: "finished", Created: servicetest.Day(1).Add(time.Duration(i) * time.Second), Events: events})
			}
			req := &runicornapiv1.ListExperimentsRequest{
				Filter: `metrics."val/loss".last < 1`, OrderBy: `metrics."val/acc".max desc`, MetricNames: []string{"val/acc"}, PageSize: 20,
			}
			ask := func() {
				resp, err := h.Experiments.ListExperiments(b.Context(), req)
				if err != nil || !resp.GetComplete() || resp.GetTotalSize() != int32(n) {
					b.Fatalf("%v, %v of %d", err, resp.GetTotalSize(), n)
				}
			}
			ask()
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				ask()
				took = append(took, time.Since(start))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
		})
	}
}
