package metrics

import (
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// BenchmarkGetMetrics asks for a run at rest that is in the cache: all of it,
// and a downsampled part of it.
func BenchmarkGetMetrics(b *testing.B) {
	h := newHarness(b, demotest.Gen06)
	id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(10_000, func(step int) float64 {
		return float64(step)
	}))})
	for _, bench := range []struct {
		name string
		req  *runicornapiv1.GetMetricsRequest
	}{
		{"10000 points", &runicornapiv1.GetMetricsRequest{RunId: id}},
		{"the last point", &runicornapiv1.GetMetricsRequest{RunId: id, Last: new(int32(1))}},
		{"downsampled to 500", &runicornapiv1.GetMetricsRequest{RunId: id, Downsample: &runicornapiv1.Downsample{MaxPoints: 500}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Metrics.GetMetrics(b.Context(), bench.req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
