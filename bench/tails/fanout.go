package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	conns = 20
	mib   = 1 << 20
)

// liveRun writes a running run, whose process is this one, into a storage.
func liveRun(storage string, version realviewer.Version, rows int, metrics ...string) (realviewer.Run, error) {
	return realviewer.WriteRun(storage, version, realviewer.RunSpec{
		Project: "vision", Name: "live", Status: "running", PID: os.Getpid(),
		Lines: realviewer.Curve(time.Now().Add(-time.Hour), rows, metrics...),
	})
}

// liveRig is a rig in front of a Viewer with such a run.
func liveRig(ctx context.Context, b *rig.Bed, name string, version realviewer.Version, rows int, metrics ...string) (realviewer.Run, *rig.Rig, error) {
	storage := filepath.Join(b.Dir, name)
	run, err := liveRun(storage, version, rows, metrics...)
	if err != nil {
		return run, nil, err
	}
	r, err := b.Start(ctx, version, storage)
	return run, r, err
}

// write appends one line per second.
func write(ctx context.Context, path string, first, lines int) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := range lines {
		if _, err := rig.AppendLines(path, first+i, 1); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// fanout measures 1, 100 and 10,000 tails of one run with one update per second, all
// with one token.
func fanout(ctx context.Context, out io.Writer, b *rig.Bed) error {
	var one float64
	for _, n := range []int{1, 100, 10_000} {
		cpu, err := fan(ctx, out, b, n)
		if err != nil {
			return err
		}
		if n == 1 {
			one = cpu
		} else {
			fmt.Fprintf(out, "    CPU of the Viewer against one tail: %.2f (goal: 1.2 at most)\n", cpu/one)
		}
	}
	return nil
}

// fan measures n tails, and returns the CPU seconds of the Viewer per second.
func fan(ctx context.Context, out io.Writer, b *rig.Bed, n int) (cpu float64, err error) {
	const first = 1000
	lines := 30
	if n > 1000 {
		lines = 60
	}
	storage, tokens := filepath.Join(b.Dir, fmt.Sprintf("fan-%d", n)), filepath.Join(b.Dir, "tokens")
	run, err := liveRun(storage, realviewer.V072, first-1, "loss")
	if err := errors.Join(err, os.WriteFile(tokens, []byte("read "+crowdToken+"\n"), 0o600)); err != nil {
		return 0, err
	}
	r, err := b.Start(ctx, realviewer.V072, storage, "--auth-token-file="+tokens)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	c, err := collect(ctx, []string{r.Addr}, run.RunID, n, min(n, conns))
	if err != nil {
		return 0, err
	}
	path := "/api/runs/" + run.RunID + "/assets/download"
	before, start := r.Proxy.Requests(http.MethodGet, path), time.Now()
	ours, theirs, err := r.Costs(func() error { return write(ctx, run.EventFile, first, lines) })
	if err != nil {
		return 0, errors.Join(err, c.close())
	}
	took, asked := time.Since(start), r.Proxy.Requests(http.MethodGet, path)-before
	peak, err := r.PeakRSS()
	if err := errors.Join(err, waitQuiet(c, first, lines), c.close()); err != nil {
		return 0, err
	}
	spreads, ages := c.spreads()
	fmt.Fprintf(out, "  %d tails with one token on %d connections, 1 update/s, %v: nothing lost\n", n, min(n, conns), took.Round(time.Second))
	fmt.Fprintf(out, "    requests for the log: %.2f/s; CPU of the Viewer %.1f %%, of the server %.1f %% of one core\n",
		float64(asked)/took.Seconds(), 100*theirs.Seconds()/took.Seconds(), 100*ours.Seconds()/took.Seconds())
	fmt.Fprintf(out, "    server RSS at most %d MiB (goal: 256); first to last client p99 %v (goal: 500ms); written to last client p99 %v\n",
		peak/mib, rig.Quantile(spreads, 0.99).Round(time.Millisecond), rig.Quantile(ages, 0.99).Round(time.Millisecond))
	return theirs.Seconds() / took.Seconds(), nil
}

// waitQuiet waits until every tail has received the last step. If the share of a Viewer
// is too small for all of its runs, polls of a run are half a minute apart.
func waitQuiet(c *crowd, first, n int) error {
	var err error
	for range 900 {
		if err = c.check(first, n); err == nil {
			return nil
		}
		<-time.After(100 * time.Millisecond)
	}
	return err
}

// interval measures one poll of a large run against the Viewer's own table.
func interval(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	const lines = 20
	run, r, err := liveRig(ctx, b, "interval", realviewer.V060, *bigRows, "loss", "accuracy", "lr")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	table := func() error { return rig.Get(ctx, client, r.Viewer.URL()+"/api/runs/"+run.RunID+"/metrics_step") }
	if err := table(); err != nil { // fills the Viewer's cache, which favours the Viewer
		return err
	}
	_, full, err := r.Costs(table)
	if err != nil {
		return err
	}
	c, err := collect(ctx, []string{r.Addr}, run.RunID, 1, 1)
	if err != nil {
		return err
	}
	path := "/api/runs/" + run.RunID + "/assets/download"
	before := r.Proxy.Requests(http.MethodGet, path)
	_, cost, err := r.Costs(func() error { return write(ctx, run.EventFile, *bigRows+1, lines) })
	asked := max(r.Proxy.Requests(http.MethodGet, path)-before, 1)
	if err := errors.Join(err, waitQuiet(c, *bigRows+1, lines), c.close()); err != nil {
		return err
	}
	each := cost / time.Duration(asked)
	fmt.Fprintf(out, "  %d rows on 0.6.0: CPU of the Viewer %v for each of %d polls (all else included), %v for one warm metrics_step: 1/%.0f (goal: 1/100)\n",
		*bigRows, each.Round(100*time.Microsecond), asked, full, float64(full)/float64(max(each, time.Microsecond)))
	return nil
}

// manyRuns measures 64 tails in a storage of 2,000 runs of 0.6.0, where every call
// becomes more expensive with the number of runs.
func manyRuns(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	const all, followed, lines = 2000, 64, 40
	storage := filepath.Join(b.Dir, "many")
	for i := range all - followed {
		if _, err := realviewer.WriteRun(storage, realviewer.V060, realviewer.RunSpec{
			Project: fmt.Sprintf("p%d", i%10), Name: "n", Lines: realviewer.Curve(time.Now(), 3, "loss"),
		}); err != nil {
			return err
		}
	}
	var runs []realviewer.Run
	for range followed {
		run, err := liveRun(storage, realviewer.V060, 100, "loss")
		if err != nil {
			return err
		}
		runs = append(runs, run)
	}
	r, err := b.Start(ctx, realviewer.V060, storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	idle, err := reads(ctx, r, runs, 40)
	if err != nil {
		return err
	}
	tails, errs := make([]*crowd, followed), make([]error, followed)
	var joining sync.WaitGroup
	for i, run := range runs {
		joining.Go(func() { tails[i], errs[i] = collect(ctx, []string{r.Addr}, run.RunID, 1, 1) })
	}
	joining.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	start := time.Now()
	_, theirs, err := r.Costs(func() error {
		for i := range lines {
			for _, run := range runs {
				if _, err := rig.AppendLines(run.EventFile, 101+i, 1); err != nil {
					return err
				}
			}
			if err := rig.Pause(ctx, time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	took := time.Since(start)
	if err != nil {
		return err
	}
	busy, err := reads(ctx, r, runs, 40)
	for _, c := range tails {
		err = errors.Join(err, waitQuiet(c, 101, lines), c.close())
	}
	if err != nil {
		return err
	}
	i99, b99 := rig.Quantile(idle, 0.99), rig.Quantile(busy, 0.99)
	fmt.Fprintf(out, "  %d of %d runs of 0.6.0 followed for %v: CPU of the Viewer %.1f %% (goal: 25 %%)\n", followed, all, took.Round(time.Second), 100*theirs.Seconds()/took.Seconds())
	fmt.Fprintf(out, "    GetExperiment p99 %v, without tails %v: %.1f times (goal: 3)\n", b99.Round(time.Millisecond), i99.Round(time.Millisecond), float64(b99)/float64(i99))
	return nil
}

// reads measures sequential calls of GetExperiment.
func reads(ctx context.Context, r *rig.Rig, runs []realviewer.Run, n int) ([]time.Duration, error) {
	var times []time.Duration
	for i := range n {
		start := time.Now()
		if _, err := r.Experiments.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: runs[i%len(runs)].RunID}); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}
