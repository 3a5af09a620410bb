package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	runCount = 200
	calls    = 400  // of each side of a comparison
	storm    = 1000 // simultaneous identical calls
)

// manyRuns measures single reads, the shared list and many simultaneous equal calls on a
// Viewer 0.6.0 with 200 runs, whose cost grows with the number of runs.
func manyRuns(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	storage := filepath.Join(b.Dir, "many")
	var ids []string
	for i := range runCount {
		run, err := realviewer.WriteRun(storage, realviewer.V060, realviewer.RunSpec{
			Project: fmt.Sprintf("p%d", i%10), Name: "n",
			Lines: realviewer.Curve(time.Now(), 20, "loss"), Summary: map[string]any{"lr": 0.1},
		})
		if err != nil {
			return err
		}
		ids = append(ids, run.RunID)
	}
	r, err := b.Start(ctx, realviewer.V060, storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	fmt.Fprintf(out, "Viewer 0.6.0 with %d runs\n", runCount)
	if err := overhead(ctx, out, r, b, ids); err != nil {
		return err
	}
	for _, part := range []func(context.Context, io.Writer, *rig.Rig, []string) error{getExperiment, warmList, listStorm} {
		if err := part(ctx, out, r, ids); err != nil {
			return err
		}
	}
	return nil
}

// overhead compares GetEnvironment with the Viewer's own call, alternating.
func overhead(ctx context.Context, out io.Writer, r *rig.Rig, b *rig.Bed, ids []string) (err error) {
	var straight rig.Front
	defer func() { err = errors.Join(err, straight.Close()) }()
	if err := straight.Serve(ctx, b, r.Viewer.URL()); err != nil {
		return err
	}
	client := &http.Client{Transport: &http.Transport{IdleConnTimeout: 4 * time.Second}}
	defer client.CloseIdleConnections()
	var direct, through []time.Duration
	for i := range calls {
		id := ids[i%len(ids)]
		start := time.Now()
		if err := rig.Get(ctx, client, r.Viewer.URL()+"/api/environment/"+id); err != nil {
			return err
		}
		direct = append(direct, time.Since(start))
		start = time.Now()
		if _, err := straight.Experiments.GetEnvironment(ctx, &runicornapiv1.GetEnvironmentRequest{RunId: id}); err != nil {
			return err
		}
		through = append(through, time.Since(start))
	}
	d50, t50 := rig.Quantile(direct, 0.5), rig.Quantile(through, 0.5)
	fmt.Fprintf(out, "  GetEnvironment: p50 direct %v, through the server %v: +%v (goal: +1ms at most)\n", d50, t50, t50-d50)
	fmt.Fprintf(out, "  GetEnvironment: p99 direct %v, through the server %v\n", rig.Quantile(direct, 0.99), rig.Quantile(through, 0.99))
	return nil
}

// getExperiment compares the CPU time of both processes over FULL reads.
func getExperiment(ctx context.Context, out io.Writer, r *rig.Rig, ids []string) error {
	ours, theirs, err := r.Costs(func() error {
		for i := range calls {
			if _, err := r.Experiments.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: ids[i%len(ids)]}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  GetExperiment FULL x%d: CPU server %v, Viewer %v: %.3f (goal: 0.1 at most)\n",
		calls, ours, theirs, float64(ours)/float64(theirs))
	return nil
}

// warmList counts the requests to the Viewer for a warm ListExperiments.
func warmList(ctx context.Context, out io.Writer, r *rig.Rig, _ []string) error {
	list := func() error {
		_, err := r.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{PageSize: 50})
		return err
	}
	if err := untilStale(ctx); err != nil {
		return err
	}
	if err := list(); err != nil {
		return err
	}
	before, start, n := r.Proxy.Requests(http.MethodGet, "/api/runs"), time.Now(), 0
	for ; time.Since(start) < 500*time.Millisecond; n++ {
		if err := list(); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "  ListExperiments, warm: %d calls in 500ms, %d upstream (goal: 0)\n", n, r.Proxy.Requests(http.MethodGet, "/api/runs")-before)
	return nil
}

// listStorm counts the requests to the Viewer for many simultaneous cold calls.
func listStorm(ctx context.Context, out io.Writer, r *rig.Rig, _ []string) error {
	if err := untilStale(ctx); err != nil {
		return err
	}
	before := r.Proxy.Requests(http.MethodGet, "/api/runs")
	errs := make(chan error, storm)
	var all sync.WaitGroup
	for range storm {
		all.Go(func() {
			_, err := r.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{PageSize: 10})
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "  ListExperiments x%d at once, cold: %d upstream (goal: 2 at most)\n", storm, r.Proxy.Requests(http.MethodGet, "/api/runs")-before)
	return nil
}

// untilStale waits until the shared list has expired.
func untilStale(ctx context.Context) error { return rig.Pause(ctx, 3*time.Second) }
