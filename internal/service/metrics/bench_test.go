package metrics

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// BenchmarkGetMetrics reads a finished run that is in the cache: all of it, and a
// downsampled part of it.
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

// BenchmarkManyMetrics reads runs of many metrics and two steps: the time must grow at
// most linearly with the number of metrics.
func BenchmarkManyMetrics(b *testing.B) {
	h := newHarness(b, demotest.Gen06)
	for _, metrics := range []int{100, 1_000, 10_000} {
		ids := []string{addManyMetrics(h, metrics), addManyMetrics(h, metrics)}
		for _, bench := range []struct {
			name string
			call func() error
		}{
			{"ListMetrics", func() error {
				_, err := h.Metrics.ListMetrics(b.Context(), &runicornapiv1.ListMetricsRequest{RunId: ids[0]})
				return err
			}},
			{"GetMetrics", func() error {
				_, err := h.Metrics.GetMetrics(b.Context(), &runicornapiv1.GetMetricsRequest{RunId: ids[0]})
				return err
			}},
			{"last=1", func() error {
				_, err := h.Metrics.GetMetrics(b.Context(), &runicornapiv1.GetMetricsRequest{RunId: ids[0], Last: new(int32(1))})
				return err
			}},
			{"Compare", func() error {
				_, err := h.Metrics.CompareExperiments(b.Context(), &runicornapiv1.CompareExperimentsRequest{RunIds: ids, MetricPrefixes: []string{"m"}})
				return err
			}},
			{"Stream", func() error { return drainHistory(b, h, &runicornapiv1.StreamMetricsRequest{RunIds: ids[:1]}) }},
			{"Stream merged", func() error {
				return drainHistory(b, h, &runicornapiv1.StreamMetricsRequest{RunIds: ids[:1], Order: runicornapiv1.StreamOrder_STREAM_ORDER_MERGED})
			}},
		} {
			b.Run(fmt.Sprintf("%s/metrics=%d", bench.name, metrics), func(b *testing.B) {
				for b.Loop() {
					if err := bench.call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// addManyMetrics adds a run of so many metrics.
func addManyMetrics(h *servicetest.Harness, metrics int) string {
	data := make([]string, metrics)
	for i := range data {
		data[i] = fmt.Sprintf(`"m/%05d":%d.5`, i, i)
	}
	line := strings.Join(data, ",")
	return h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, line) + servicetest.MetricsLine(2, line))})
}

// drainHistory reads a history to its end.
func drainHistory(b *testing.B, h *servicetest.Harness, req *runicornapiv1.StreamMetricsRequest) error {
	b.Helper()
	stream, err := h.Metrics.StreamMetrics(b.Context(), req)
	for err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
