package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var (
	latencyPauses = flag.String("pauses", "1s,10s,1m", "pauses of the latency part")
	latencyLong   = flag.Bool("long", false, "also measure five pauses of 300 s in the latency part")
	latencyOnly   = flag.String("releases", "0.6.0,0.7.2", "releases of the latency part")
	latencyRuns   = flag.String("runs", "", "numbers of followed runs in the latency part; empty for those with goals")
)

const (
	latencySamples = 50
	// latencyCopies is how many Viewers, each with its own server, are measured
	// concurrently, for a long pause with so few runs that it would take an hour.
	latencyCopies = 4
	latencyWarmUp = 15 * time.Second
	// latencyStorage is the number of runs of each Viewer: those that are not followed have
	// ended.
	latencyStorage = 200
)

// latencyCase is one row of the table.
type latencyCase struct {
	release realviewer.Version
	runs    int
	flags   []string
	goal    time.Duration // 0 means runs times cost divided by the share, plus 100 ms
}

func latencyCases() (cases []latencyCase) {
	const goal, quickGoal = 300 * time.Millisecond, 120 * time.Millisecond
	for _, c := range []latencyCase{
		{realviewer.V060, 1, nil, goal},
		{realviewer.V060, 4, nil, goal},
		{realviewer.V060, 16, nil, 0},
		{realviewer.V072, 1, nil, goal},
		{realviewer.V072, 8, nil, goal},
		{realviewer.V072, 32, nil, 0},
		{realviewer.V060, 1, []string{"--poll-min=50ms"}, quickGoal},
		{realviewer.V072, 1, []string{"--poll-min=50ms"}, quickGoal},
	} {
		isAsked := *latencyRuns == "" || strings.Contains(","+*latencyRuns+",", ","+strconv.Itoa(c.runs)+",")
		if isAsked && strings.Contains(*latencyOnly, string(c.release)) {
			cases = append(cases, c)
		}
	}
	return cases
}

// latency prints how late the first point after a pause is: the 99th percentile of at
// least 50, by pause, number of followed runs and release.
func latency(ctx context.Context, out io.Writer, b *rig.Bed) error {
	var pauses []time.Duration
	for text := range strings.SplitSeq(*latencyPauses, ",") {
		pause, err := time.ParseDuration(text)
		if err != nil {
			return err
		}
		pauses = append(pauses, pause)
	}
	if *latencyLong {
		pauses = append(pauses, 5*time.Minute)
	}
	fmt.Fprintf(out, "  %-8s %-5s %-16s", "release", "runs", "flags")
	for _, pause := range pauses {
		fmt.Fprintf(out, " %18v", pause)
	}
	fmt.Fprintln(out, "  (written to delivered: p99, and median)  goal, CPU of the Viewer per poll")
	for _, c := range latencyCases() {
		fmt.Fprintf(out, "  %-8s %-5d %-16s", c.release, c.runs, strings.Join(c.flags, " "))
		var cost time.Duration
		for _, pause := range pauses {
			ages, each, err := measureLatency(ctx, b, &c, pause)
			if err != nil {
				return err
			}
			cost = max(cost, each)
			fmt.Fprintf(out, " %8v %9v", rig.Quantile(ages, 0.99).Round(time.Millisecond), rig.Quantile(ages, 0.5).Round(time.Millisecond))
		}
		goal := c.goal
		if goal == 0 {
			const share = 5
			goal = time.Duration(c.runs)*cost*share + 100*time.Millisecond
		}
		fmt.Fprintf(out, "  %v, %v\n", goal.Round(time.Millisecond), cost.Round(100*time.Microsecond))
	}
	return nil
}

// measureLatency collects the ages of first points after pauses, and the total cost of a
// poll for the Viewer.
func measureLatency(ctx context.Context, b *rig.Bed, c *latencyCase, pause time.Duration) (ages []time.Duration, cost time.Duration, err error) {
	copies, samples := 1, latencySamples
	if pause > 5*time.Second && c.runs < latencyCopies {
		copies = latencyCopies
	}
	if pause > time.Minute {
		samples = 5
	}
	each := max((samples+c.runs*copies-1)/(c.runs*copies), 1)
	results, errs, costs := make([][]time.Duration, copies), make([]error, copies), make([]time.Duration, copies)
	var all sync.WaitGroup
	for i := range copies {
		all.Go(func() { results[i], costs[i], errs[i] = oneLatency(ctx, b, c, pause, each, i) })
	}
	all.Wait()
	for i := range copies {
		ages, cost = append(ages, results[i]...), max(cost, costs[i])
	}
	return ages, cost, errors.Join(errs...)
}

// oneLatency is measureLatency on one Viewer, with this number of pauses for each run.
func oneLatency(ctx context.Context, b *rig.Bed, c *latencyCase, pause time.Duration, pauses, copyOf int) (ages []time.Duration, cost time.Duration, err error) {
	const first = 101
	// The first responses of a new Viewer are slow, and count towards the share.
	// Therefore the first pause of each run is longer, and is not measured.
	pauses++
	storage := filepath.Join(b.Dir, fmt.Sprintf("latency-%s-%d-%v-%d-%d", c.release, c.runs, pause, copyOf, len(c.flags)))
	runs := make([]realviewer.Run, c.runs)
	for i := range runs {
		if runs[i], err = liveRun(storage, c.release, first-1, "loss"); err != nil {
			return nil, 0, err
		}
	}
	for range latencyStorage - c.runs {
		ended := realviewer.RunSpec{Project: "vision", Name: "ended", Lines: realviewer.Curve(time.Now().Add(-time.Hour), first-1, "loss")}
		if _, err := realviewer.WriteRun(storage, c.release, ended); err != nil {
			return nil, 0, err
		}
	}
	r, err := b.Start(ctx, c.release, storage, c.flags...)
	if err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	tails := make([]*crowd, c.runs)
	for i, run := range runs {
		if tails[i], err = collect(ctx, []string{r.Addr}, run.RunID, 1, 1); err != nil {
			return nil, 0, err
		}
	}
	asked := func() (n int64) {
		for _, run := range runs {
			n += int64(r.Proxy.Requests(http.MethodGet, "/api/runs/"+run.RunID+"/assets/download"))
		}
		return n
	}
	before := asked()
	_, theirs, err := r.Costs(func() error { return writeAfterPauses(ctx, runs, pause, first, pauses) })
	polls := max(asked()-before, 1)
	for _, tail := range tails {
		err = errors.Join(err, waitQuiet(tail, first, pauses), tail.close())
		delete(tail.steps, first)
		_, late := tail.spreads()
		ages = append(ages, late...)
	}
	return ages, theirs / time.Duration(polls), err
}

// writeAfterPauses writes a line to each run after each of its pauses, at different times
// per run.
func writeAfterPauses(ctx context.Context, runs []realviewer.Run, pause time.Duration, first, pauses int) error {
	errs := make([]error, len(runs))
	var all sync.WaitGroup
	for i, run := range runs {
		all.Go(func() {
			for n := range pauses {
				pause := pause
				if n == 0 {
					pause = max(pause, latencyWarmUp)
				}
				jitter := time.Duration((rand.Float64() - .5) / 2 * float64(min(pause, 4*time.Second))) //nolint:gosec // no secret
				if errs[i] = rig.Pause(ctx, pause+jitter); errs[i] != nil {
					return
				}
				if _, errs[i] = rig.AppendLines(run.EventFile, first+n, 1); errs[i] != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
