package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// memory measures the memory of StreamMetrics for a large run, and for one that is ten
// times larger. Only the event file is read: the Viewer's table of the larger run would
// take tens of gigabytes.
func memory(ctx context.Context, out io.Writer, b *rig.Bed) error {
	large, err := streamMemory(ctx, out, b, *bigRows)
	if err != nil {
		return err
	}
	larger, err := streamMemory(ctx, out, b, 10**bigRows)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "    memory of the server at its peak: %.2f times that of the smaller run (goal: 1.2)\n", float64(larger)/float64(large))
	return nil
}

// streamMemory reads the history of a run through a new server, and returns the peak
// memory of that server.
func streamMemory(ctx context.Context, out io.Writer, b *rig.Bed, rows int) (peak int64, err error) {
	run, r, err := liveRig(ctx, b, fmt.Sprint("memory-", rows), realviewer.V060, rows, sixMetrics...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	idle, err := r.RSS()
	if err != nil {
		return 0, err
	}
	_, whole, points, err := stream(ctx, r, run.RunID)
	if err != nil {
		return 0, err
	}
	if want := int64(rows * len(sixMetrics)); points != want {
		return 0, fmt.Errorf("%d points came, want %d", points, want)
	}
	peak, err = r.PeakRSS()
	fmt.Fprintf(out, "  StreamMetrics of %d rows x %d metrics: %.1f s, server RSS %d MiB, +%d (goal: 64)\n",
		rows, len(sixMetrics), whole.Seconds(), peak/mib, (peak-idle)/mib)
	return peak, err
}
