package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// question is the one that is asked everywhere.
func question() *runicornapiv1.ListExperimentsRequest {
	return &runicornapiv1.ListExperimentsRequest{
		OrderBy: `metrics."val/acc".max desc`, MetricNames: []string{"val/acc", "val/loss"}, PageSize: 20,
	}
}

// ask asks until the answer is complete.
func ask(ctx context.Context, f *rig.Front) (*runicornapiv1.ListExperimentsResponse, error) {
	for {
		resp, err := f.Experiments.ListExperiments(ctx, question())
		if err != nil || resp.GetComplete() {
			return resp, err
		}
	}
}

// sampleSize is how many single requests are measured.
const sampleSize = 20

// singleCost is what one request for one run's events costs the Viewer.
var singleCost = map[*rig.Rig]time.Duration{}

// single measures one request for the event file of one run, straight to the Viewer.
func single(ctx context.Context, out io.Writer, r *rig.Rig, runs []realviewer.Run) error {
	client := &http.Client{}
	defer client.CloseIdleConnections()
	_, spent, err := r.Costs(func() error {
		for i := range sampleSize {
			run := runs[i*len(runs)/sampleSize]
			if err := rig.Get(ctx, client, r.Viewer.URL()+"/api/runs/"+run.RunID+"/assets/download?path="+url.QueryEscape(run.EventFile)); err != nil {
				return err
			}
		}
		return nil
	})
	singleCost[r] = spent / sampleSize
	fmt.Fprintf(out, "  one request for one run's events: CPU of the Viewer %v\n", singleCost[r])
	return err
}

// cold measures the first answer, and what a call about a run that somebody else makes waits
// meanwhile.
func cold(ctx context.Context, out io.Writer, r *rig.Rig, runs []realviewer.Run) error {
	stop := watchForeground(ctx, r, runs[0].RunID)
	before, start := r.Bytes.Bytes(), time.Now()
	ours, theirs, err := r.Costs(func() error {
		_, err := ask(ctx, &r.Front)
		return err
	})
	took := time.Since(start)
	waits := stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  cold: complete after %v, %d MB from the Viewer, CPU server %v, Viewer %v: %.2f of one request per run (goal on 0.6.0: 0.1)\n",
		took.Round(time.Millisecond), (r.Bytes.Bytes()-before)>>20, ours, theirs, float64(theirs)/float64(singleCost[r])/float64(len(runs)))
	fmt.Fprintf(out, "  cold: %d archives of a path; the others were read one by one\n", r.Proxy.Requests(http.MethodGet, "/api/paths/export"))
	if len(waits) > 0 {
		fmt.Fprintf(out, "  cold: a foreground call meanwhile (%d): p99 %v, worst %v (goal: 500ms)\n",
			len(waits), rig.Quantile(waits, 0.99).Round(time.Millisecond), rig.Quantile(waits, 1).Round(time.Millisecond))
	}
	return nil
}

// watchForeground makes small foreground calls until the function that it returns is called.
func watchForeground(ctx context.Context, r *rig.Rig, runID string) func() []time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	var took []time.Duration
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			start := time.Now()
			if _, err := r.Experiments.GetEnvironment(ctx, &runicornapiv1.GetEnvironmentRequest{RunId: runID}); err == nil {
				took = append(took, time.Since(start))
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() []time.Duration { cancel(); done.Wait(); return took }
}

// warm measures answers when everything is known.
func warm(ctx context.Context, out io.Writer, r *rig.Rig, _ []realviewer.Run) error {
	const calls = 200
	var took []time.Duration
	_, theirs, err := r.Costs(func() error {
		for range calls {
			start := time.Now()
			if _, err := r.Experiments.ListExperiments(ctx, question()); err != nil {
				return err
			}
			took = append(took, time.Since(start))
		}
		return nil
	})
	warmTime[r], warmCPU[r] = rig.Quantile(took, 0.5), theirs/calls
	fmt.Fprintf(out, "  warm: p50 %v, p99 %v (goal: p50 10ms); CPU of the Viewer %v per call\n", warmTime[r], rig.Quantile(took, 0.99), theirs/calls)
	return err
}

// warmTime and warmCPU are what a warm answer takes, of the caller and of the Viewer.
var warmTime, warmCPU = map[*rig.Rig]time.Duration{}, map[*rig.Rig]time.Duration{}

// memory says what the server holds.
func memory(ctx context.Context, out io.Writer, r *rig.Rig, runs []realviewer.Run) error {
	rss, err := r.RSS()
	if err != nil {
		return err
	}
	bytes, err := r.Gauge(ctx, "runicorn_grpc_search_bytes")
	fmt.Fprintf(out, "  memory: %.0f bytes per run with %d metrics, by the index's own count (goal: %d); the process holds %d MB\n",
		bytes/float64(len(runs)), len(metricNames), 1024+160*len(metricNames), rss>>20)
	return err
}

// watchGrowing asks each second while runs grow.
func watchGrowing(ctx context.Context, out io.Writer, r *rig.Rig, runs []realviewer.Run) error {
	grow := runs[len(runs)-*growing:]
	if len(grow) == 0 {
		return nil
	}
	var appended int64
	var ages []time.Duration
	before, start := r.Bytes.Bytes(), time.Now()
	lists, reads := r.Proxy.Requests(http.MethodGet, "/api/runs"), totalReads(r, grow)
	_, theirs, err := r.Costs(func() error {
		for second := 0; time.Since(start) < *watch; second++ {
			for _, run := range grow {
				n, err := rig.AppendLines(run.EventFile, *maxRows+10+second*5, 5)
				if err != nil {
					return err
				}
				appended += n
			}
			running := question() // what has ended is looked at every ten minutes
			running.Filter = "status = RUNNING"
			resp, err := r.Experiments.ListExperiments(ctx, running)
			if err != nil {
				return err
			}
			ages = append(ages, time.Since(resp.GetOldestDigestTime().AsTime()))
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	fetched, refreshed := r.Bytes.Bytes()-before, totalReads(r, grow)-reads
	lists = r.Proxy.Requests(http.MethodGet, "/api/runs") - lists
	list, err := listSize(ctx, r)
	fmt.Fprintf(out, "  %d growing runs, asked each second for %v: %d reads, %d kB from the Viewer for %d kB appended and %d lists of %d kB: %d bytes per read beyond that (goal: 2500; negative where not all was read yet)\n",
		len(grow), took.Round(time.Second), refreshed, fetched>>10, appended>>10, lists, list>>10, (fetched-appended-int64(lists)*list)/int64(max(refreshed, 1)))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  growing: the Viewer's CPU %.2f of a processor (share: 0.2, lists included); ages of the oldest digest: p50 %v, p99 %v\n",
		theirs.Seconds()/took.Seconds(), rig.Quantile(ages, 0.5).Round(time.Millisecond), rig.Quantile(ages, 0.99).Round(time.Millisecond))
	return nil
}

// listSize is how many bytes the Viewer's list has.
func listSize(ctx context.Context, r *rig.Rig) (int64, error) {
	before := r.Bytes.Bytes()
	client := &http.Client{}
	defer client.CloseIdleConnections()
	err := rig.Get(ctx, client, r.Bytes.URL()+"/api/runs")
	return r.Bytes.Bytes() - before, err
}

// totalReads counts the reads of files of runs.
func totalReads(r *rig.Rig, runs []realviewer.Run) (n int) {
	for _, run := range runs {
		n += r.Proxy.Requests(http.MethodGet, "/api/runs/"+run.RunID+"/assets/download")
	}
	return n
}

// restart measures the first complete answer of a new server on the same state.
func restart(ctx context.Context, out io.Writer, b *rig.Bed, r *rig.Rig, state string) (err error) {
	if err := r.Front.Close(); err != nil {
		return err
	}
	r.Front = rig.Front{}
	info, err := os.Stat(filepath.Join(state, "search.db"))
	if err != nil {
		return err
	}
	if err := r.Serve(ctx, b, r.Proxy.URL(), "--state-dir="+state); err != nil {
		return err
	}
	start := time.Now()
	resp, err := r.Experiments.ListExperiments(ctx, question())
	fmt.Fprintf(out, "  after a restart: first answer after %v, complete %t (goal: 1s); the file has %d kB\n",
		time.Since(start).Round(time.Millisecond), resp.GetComplete(), info.Size()>>10)
	return err
}

// askInPython asks the same as a Python user does today.
func askInPython(ctx context.Context, out io.Writer, r *rig.Rig, _ []realviewer.Run) error {
	start := time.Now()
	_, theirs, err := r.Costs(func() error {
		cmd := exec.CommandContext(ctx, "python3", "bench/search/ask.py", r.Viewer.URL())
		cmd.Stderr = os.Stderr
		return cmd.Run()
	})
	if err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(out, "  by list and metrics_step in Python: %v, CPU of the Viewer %v; warm here: 1/%.0f of the time, 1/%.0f of the CPU (goal: 1/100)\n",
		took.Round(time.Millisecond), theirs, took.Seconds()/warmTime[r].Seconds(), theirs.Seconds()/max(warmCPU[r].Seconds(), 0.0001))
	return nil
}
