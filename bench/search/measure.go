package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// request is the measured search.
func request() *runicornapiv1.ListExperimentsRequest {
	return &runicornapiv1.ListExperimentsRequest{
		OrderBy: `metrics."val/acc".max desc`, MetricNames: []string{"val/acc", "val/loss"}, PageSize: 20,
	}
}

// search repeats the search until the response is complete.
func (b *bench) search(ctx context.Context) (*runicornapiv1.ListExperimentsResponse, error) {
	for {
		resp, err := b.Experiments.ListExperiments(ctx, request())
		if err != nil || resp.GetComplete() {
			return resp, err
		}
	}
}

// sampleSize is the number of requests that measureSingle measures.
const sampleSize = 20

// measureSingle measures the CPU time of one direct request to the Viewer for the event file
// of one run.
func (b *bench) measureSingle(ctx context.Context, out io.Writer) error {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	_, spent, err := b.Costs(func() error {
		for i := range sampleSize {
			run := b.runs[i*len(b.runs)/sampleSize]
			if err := rig.Get(ctx, client, b.Viewer.URL()+"/api/runs/"+run.RunID+"/assets/download?path="+url.QueryEscape(run.EventFile)); err != nil {
				return err
			}
		}
		return nil
	})
	b.single = spent / sampleSize
	fmt.Fprintf(out, "  one request for one run's events: CPU of the Viewer %v\n", b.single)
	if err != nil || b.version != realviewer.V060 {
		return err
	}
	return b.measureFolder(ctx, out, client)
}

// measureFolder measures the CPU time of one archive of a folder on 0.6, and the part of it
// that is packing, which is the minimum cost of reading many logs.
func (b *bench) measureFolder(ctx context.Context, out io.Writer, client *http.Client) error {
	run := b.runs[0]
	download := b.Viewer.URL() + "/api/runs/" + run.RunID + "/assets/download?path="
	cost := func(path string) (time.Duration, error) {
		_, spent, err := b.Costs(func() error {
			for range 3 {
				if err := rig.Get(ctx, client, download+url.QueryEscape(path)); err != nil {
					return err
				}
			}
			return nil
		})
		return spent / 3, err
	}
	small, err := cost(filepath.Join(run.Dir, "status.json"))
	if err != nil {
		return err
	}
	folder, err := cost(filepath.Dir(run.Dir))
	packing := folder - small
	fmt.Fprintf(out, "  an archive of its folder, %d runs: CPU of the Viewer %v, of which packing %v: %.2f of one request per run, and %.2f at best\n",
		b.perPath, folder, packing, folder.Seconds()/b.single.Seconds()/float64(b.perPath), packing.Seconds()/b.single.Seconds()/float64(b.perPath))
	return err
}

// idleTime is how long foreground calls are measured without other load.
const idleTime = 3 * time.Second

// measureCold measures the first complete response, and the latency of concurrent foreground
// calls: to the server about a run, and directly to the Viewer's health route.
func (b *bench) measureCold(ctx context.Context, out io.Writer) error {
	var idle foreground
	_, spent, err := b.Costs(func() (err error) {
		stop := b.watchForeground(ctx)
		_ = rig.Pause(ctx, idleTime)
		idle, err = stop()
		return err
	})
	if err != nil {
		return err
	}
	perCall := spent / time.Duration(max(len(idle.calls), 1))
	// The list alone blocks a Viewer of 0.6 for half a second, whoever requests it: it is
	// read before.
	listed := time.Now()
	if _, err := b.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{PageSize: 1}); err != nil {
		return err
	}
	fmt.Fprintf(out, "  the list alone: %v\n", time.Since(listed).Round(time.Millisecond))
	var busy foreground
	before, start := b.Bytes.Bytes(), time.Now()
	lists := b.Proxy.Requests(http.MethodGet, "/api/runs")
	stop := b.watchForeground(ctx)
	ours, theirs, err := b.Costs(func() error {
		_, err := b.search(ctx)
		return err
	})
	took := time.Since(start)
	busy, watchErr := stop()
	if err := errors.Join(err, watchErr); err != nil {
		return err
	}
	calls := perCall * time.Duration(len(busy.calls))
	fmt.Fprintf(out, "  cold: complete after %v, %d MB from the Viewer, %d requests for runs or folders of runs, %d lists\n",
		took.Round(time.Millisecond), (b.Bytes.Bytes()-before)>>20, b.totalReads(b.runs), b.Proxy.Requests(http.MethodGet, "/api/runs")-lists)
	fmt.Fprintf(out, "  cold: CPU server %v, Viewer %v, of which the foreground calls %v; the rest is %.3f of one request per run (goal on 0.6.0: 0.1)\n",
		ours, theirs, calls, float64(theirs-calls)/float64(b.single)/float64(len(b.runs)))
	fmt.Fprintf(out, "  foreground calls before:    %v\n  foreground calls meanwhile: %v (goal: worst 500ms)\n", &idle, &busy)
	return nil
}

// foreground has the latencies of foreground calls to the server, and of direct health
// requests to the Viewer.
type foreground struct{ calls, health []sample }

// sample is the latency of a call, and when it began after the first.
type sample struct{ at, took time.Duration }

func (f *foreground) String() string {
	text := func(samples []sample) string {
		if len(samples) == 0 {
			return "none"
		}
		var took []time.Duration
		for _, s := range samples {
			took = append(took, s.took)
		}
		q := func(q float64) time.Duration { return rig.Quantile(took, q).Round(time.Millisecond) }
		worst := slices.MaxFunc(samples, func(a, b sample) int { return cmp.Compare(a.took, b.took) })
		return fmt.Sprintf("%d, p50 %v, p99 %v, worst %v after %v", len(samples), q(0.5), q(0.99), q(1), worst.at.Round(time.Millisecond))
	}
	return text(f.calls) + "; health of the Viewer: " + text(f.health)
}

// watchForeground makes foreground calls until the returned function is called: to the
// server and to the Viewer in turn, one at a time, 20 ms apart.
func (b *bench) watchForeground(ctx context.Context) func() (foreground, error) {
	ctx, cancel := context.WithCancel(ctx)
	var f foreground
	var watch errgroup.Group
	client := &http.Client{}
	first := time.Now()
	timed := func(samples *[]sample, call func() error) error {
		start := time.Now()
		err := call()
		if err == nil {
			*samples = append(*samples, sample{start.Sub(first), time.Since(start)})
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil // the call may have been canceled
		}
		return err
	}
	watch.Go(func() error {
		for ctx.Err() == nil {
			if err := errors.Join(
				timed(&f.calls, func() error {
					_, err := b.Experiments.GetEnvironment(ctx, &runicornapiv1.GetEnvironmentRequest{RunId: b.runs[0].RunID})
					return err
				}),
				timed(&f.health, func() error { return rig.Get(ctx, client, b.Viewer.URL()+"/api/health") }),
			); err != nil {
				return err
			}
		}
		return nil
	})
	return func() (foreground, error) {
		cancel()
		err := watch.Wait()
		client.CloseIdleConnections()
		return f, err
	}
}

// measureWarm measures searches when all runs are known.
func (b *bench) measureWarm(ctx context.Context, out io.Writer) error {
	const calls = 200
	var took []time.Duration
	ours, theirs, err := b.Costs(func() error {
		for range calls {
			start := time.Now()
			if _, err := b.Experiments.ListExperiments(ctx, request()); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		return nil
	})
	b.warmTime, b.warmed = rig.Quantile(took, 0.5), theirs/calls
	fmt.Fprintf(out, "  warm: p50 %v, p99 %v (goal: p50 10ms, 20ms of 10,000 runs); CPU per call: server %v, Viewer %v\n",
		b.warmTime.Round(10*time.Microsecond), rig.Quantile(took, 0.99).Round(10*time.Microsecond), ours/calls, theirs/calls)
	return err
}

// measureMemory measures the memory of the server.
func (b *bench) measureMemory(ctx context.Context, out io.Writer) error {
	rss, err := b.RSS()
	if err != nil {
		return err
	}
	bytes, err := b.Gauge(ctx, "runicorn_grpc_search_bytes")
	fmt.Fprintf(out, "  memory: %.0f bytes per run with %d metrics, as estimated by the index (goal: %d); resident memory of the process: %d MB\n",
		bytes/float64(len(b.runs)), len(metricNames), 1024+160*len(metricNames), rss>>20)
	return err
}

// measureGrowing repeats a search each second while runs grow.
func (b *bench) measureGrowing(ctx context.Context, out io.Writer) error {
	grow := b.runs[len(b.runs)-*growing:]
	if len(grow) == 0 {
		return nil
	}
	var appended int64
	var ages []time.Duration
	before, start := b.Bytes.Bytes(), time.Now()
	lists, reads := b.Proxy.Requests(http.MethodGet, "/api/runs"), b.totalReads(grow)
	_, theirs, err := b.Costs(func() error {
		for second := 0; time.Since(start) < *watch; second++ {
			for _, run := range grow {
				n, err := rig.AppendLines(run.EventFile, *maxRows+10+second*5, 5)
				if err != nil {
					return err
				}
				appended += n
			}
			running := request() // ended runs are refreshed only every ten minutes
			running.Filter = "status = RUNNING"
			resp, err := b.Experiments.ListExperiments(ctx, running)
			if err != nil {
				return err
			}
			ages = append(ages, time.Since(resp.GetOldestDigestTime().AsTime()))
			if err := rig.Pause(ctx, time.Second); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	fetched, refreshed := b.Bytes.Bytes()-before, b.totalReads(grow)-reads
	lists = b.Proxy.Requests(http.MethodGet, "/api/runs") - lists
	list, err := b.listSize(ctx)
	fmt.Fprintf(out, "  %d growing runs, a search each second for %v: %d reads, %d kB from the Viewer for %d kB appended and %d lists of %d kB: %d bytes per read beyond that (goal: 2500; negative if not all was read yet)\n",
		len(grow), took.Round(time.Second), refreshed, fetched>>10, appended>>10, lists, list>>10, (fetched-appended-int64(lists)*list)/int64(max(refreshed, 1)))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  growing: the Viewer's CPU %.2f of a processor (share: 0.2, lists included); ages of the oldest digest: p50 %v, p99 %v\n",
		theirs.Seconds()/took.Seconds(), rig.Quantile(ages, 0.5).Round(time.Millisecond), rig.Quantile(ages, 0.99).Round(time.Millisecond))
	return nil
}

// listSize is the size of the Viewer's list, in bytes.
func (b *bench) listSize(ctx context.Context) (int64, error) {
	before := b.Bytes.Bytes()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	err := rig.Get(ctx, client, "http://"+b.Bytes.Addr()+"/api/runs")
	return b.Bytes.Bytes() - before, err
}

// totalReads is the number of requests for files of runs.
func (b *bench) totalReads(runs []realviewer.Run) (n int) {
	for _, run := range runs {
		n += b.Proxy.Requests(http.MethodGet, "/api/runs/"+run.RunID+"/assets/download")
	}
	return n
}

// measureRestart measures the first response of a new server with the same state.
func (b *bench) measureRestart(ctx context.Context, out io.Writer) (err error) {
	if err := b.Front.Close(); err != nil {
		return err
	}
	b.Front = rig.Front{}
	info, err := os.Stat(filepath.Join(b.state, "search.db"))
	if err != nil {
		return err
	}
	if err := b.Serve(ctx, b.bed, b.Proxy.URL(), "--state-dir="+b.state); err != nil {
		return err
	}
	start := time.Now()
	resp, err := b.Experiments.ListExperiments(ctx, request())
	fmt.Fprintf(out, "  after a restart: first response after %v, complete %t (goal: 1s); the file has %d kB\n",
		time.Since(start).Round(time.Millisecond), resp.GetComplete(), info.Size()>>10)
	return err
}

// measurePython measures the same search with the Viewer's REST API from Python.
func (b *bench) measurePython(ctx context.Context, out io.Writer) error {
	readRuns, scale := len(b.runs), 1.0
	if *pythonRuns > 0 && *pythonRuns < readRuns {
		scale, readRuns = float64(readRuns)/float64(*pythonRuns), *pythonRuns
	}
	start := time.Now()
	_, theirs, err := b.Costs(func() error {
		cmd := exec.CommandContext(ctx, "python3", "bench/search/rank.py", b.Viewer.URL(), strconv.Itoa(readRuns)) //nolint:gosec // constant program and own arguments
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
	if err != nil {
		return err
	}
	took, spent := time.Since(start).Seconds()*scale, theirs.Seconds()*scale
	fmt.Fprintf(out, "  by list and metrics_step in Python: %.1fs, CPU of the Viewer %.1fs (estimated from %d of %d runs); warm here: 1/%.0f of the time, 1/%.0f of the CPU (goal: 1/100)\n",
		took, spent, readRuns, len(b.runs), took/b.warmTime.Seconds(), spent/max(b.warmed.Seconds(), 0.0001))
	return nil
}
