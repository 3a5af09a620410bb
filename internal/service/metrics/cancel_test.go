package metrics

import (
	"context"
	"errors"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

func TestMetrics_canceledWork(t *testing.T) {
	v := eventView([]byte(servicetest.SampleEvents))
	all := &runicornapiv1.CompareExperimentsRequest{MetricPrefixes: []string{""}}
	for name, work := range map[string]func(context.Context) error{
		"GetMetrics": func(ctx context.Context) error {
			_, err := newSeriesReader(&runicornapiv1.GetMetricsRequest{}).read(ctx, v)
			return err
		},
		"Compare, while it reads": func(ctx context.Context) error { return newComparison(all, 1).read(ctx, 0, v) },
		"Compare, while it aligns": func(ctx context.Context) error {
			c := newComparison(all, 1)
			c.curves[0] = []curve{{name: "a"}}
			_, err := c.comparisons(ctx, make([]runs.Entry, 1))
			return err
		},
	} {
		t.Run(name+" stops when nobody waits for it", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := work(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
}
