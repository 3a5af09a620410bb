package runcache

import (
	"context"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// newTestCache returns a cache that ends with the test.
func newTestCache(tb testing.TB, cfg Config) *Cache {
	tb.Helper()
	c := New(cfg)
	tb.Cleanup(c.Close)
	return c
}

// read returns the values of loss by step, and the view without its table.
func read(t *testing.T, c *Cache, src runsource.Source) (map[int64]float64, View) {
	t.Helper()
	values, view, err := tryRead(t.Context(), c, runsourcetest.TheRun, src)
	if err != nil {
		t.Fatalf("read the run: %v", err)
	}
	return values, view
}

func tryRead(ctx context.Context, c *Cache, key runsource.Key, src runsource.Source) (values map[int64]float64, view View, err error) {
	values = map[int64]float64{}
	err = c.Read(ctx, key, src, func(v *View) error {
		view = *v
		view.Table = nil
		for _, s := range v.Table.Series(eventlog.Selection{Names: []string{"loss"}}) {
			for i, step := range s.Steps {
				values[step] = s.Values[i]
			}
		}
		return nil
	})
	return values, view, err
}

// upTo returns the values of the lines of steps from 0.
func upTo(n int) map[int64]float64 {
	want := map[int64]float64{}
	for i := range n {
		want[int64(i)] = float64(i) + 0.125
	}
	return want
}
