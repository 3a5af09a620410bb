// Command hostile sends to the server, with its default flags, the inputs of a hostile
// Viewer and of hostile callers, each to a new server. For each input it prints the
// growth of memory, whether the tail of another caller continued, the latency of health
// checks, and what remained ten seconds later. The other caller's tail is of a real
// Viewer if Python is installed, else of a demo Viewer. Run it from the root of the
// repository, on Linux:
//
//	go run ./bench/hostile [INPUT...]
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	mib         = 1 << 20
	attackLimit = 45 * time.Second
	settleTime  = 10 * time.Second
	goalMemory  = 512 * mib
	goalHealth  = 100 * time.Millisecond
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == watchHealth {
		healthWatcher(os.Args[2])
		return
	}
	rig.Main("hostile", run)
}

// watchHealth is the argument of a separate process that checks the server's health:
// computing of the attacker must not delay it.
const watchHealth = "watch-health"

// healthWatcher checks until its input ends, and prints the 99th percentile.
func healthWatcher(addr string) {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		panic(err) // cannot happen: the address is valid
	}
	front := rig.Front{Health: grpc_health_v1.NewHealthClient(conn)}
	stop := front.WatchHealth(context.Background())
	_, _ = io.Copy(io.Discard, os.Stdin)
	fmt.Fprintln(os.Stdout, rig.Quantile(append(stop(), 0), 0.99))
}

// startHealth starts that process. The returned function stops it and returns its result.
func (t *trial) startHealth() (func() (time.Duration, error), error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, watchHealth, t.Addr) //nolint:noctx // ends with its input
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	return func() (time.Duration, error) {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			return 0, err
		}
		return time.ParseDuration(strings.TrimSpace(stdout.String()))
	}, cmd.Start()
}

func run(ctx context.Context, out io.Writer, bed *rig.Bed) (err error) {
	temp := filepath.Join(bed.Dir, "temp")
	if err := errors.Join(os.Mkdir(temp, 0o700), os.Setenv("TMPDIR", temp)); err != nil {
		return err
	}
	hostile, err := newHostileViewer()
	if err != nil {
		return err
	}
	defer hostile.Close()
	calm, err := newCalmViewer(ctx, bed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, calm.close()) }()
	fmt.Fprintf(out, "the other caller tails a run of %s\n", calm.name)
	for _, in := range inputs {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], in.name) {
			continue
		}
		t := &trial{hostile: hostile, calm: calm, temp: temp}
		if err := t.run(ctx, out, bed, in); err != nil {
			return fmt.Errorf("%s: %w", in.name, err)
		}
	}
	return nil
}

// input is one hostile input.
type input struct {
	name, what string
	flags      []string
	// attack sends the input until it is done or ctx ends, and returns a description of
	// the outcome. What it has opened ends with ctx.
	attack func(ctx context.Context, t *trial) string
}

// trial is one input and a separate server.
type trial struct {
	rig.Front
	hostile *hostileViewer
	calm    *calmViewer
	temp    string
}

func (t *trial) run(ctx context.Context, out io.Writer, bed *rig.Bed, in input) (err error) {
	tokens := filepath.Join(bed.Dir, "tokens")
	if err := os.WriteFile(tokens, []byte("read "+token+"\n"), 0o600); err != nil {
		return err
	}
	flags := append([]string{"--viewer=w=" + t.calm.url}, in.flags...)
	for i := range flags {
		flags[i] = strings.ReplaceAll(flags[i], "TOKENS", tokens)
	}
	if err := t.Serve(ctx, bed, t.hostile.server.URL, flags...); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	authorized := withToken(ctx)
	if _, err := t.Experiments.ListExperiments(authorized, &runicornapiv1.ListExperimentsRequest{Viewer: "w"}); err != nil {
		return err
	}
	tail := t.watchTail(authorized)
	pause(ctx, 2*time.Second)
	idle, err := t.RSS()
	if err != nil {
		return err
	}
	before := t.figures(ctx)
	health, err := t.startHealth()
	if err != nil {
		return err
	}
	peak := t.watchRSS(ctx)
	attack, cancel := context.WithTimeout(ctx, attackLimit)
	note := in.attack(attack, t)
	cancel()
	grown := peak() - idle
	p99, err := health()
	if err != nil {
		return err
	}
	gap, ended := tail()
	pause(ctx, settleTime)
	after := t.figures(ctx)
	fmt.Fprintf(out, "%-12s %s\n    growth %s, health p99 %s, tail %s; left after %v: %s; %s\n", in.name, in.what,
		judged(grown <= goalMemory, fmt.Sprintf("%d MiB", grown/mib)), judged(p99 <= goalHealth, p99.Round(time.Millisecond).String()),
		judged(!ended && gap < 20*time.Second, fmt.Sprintf("ended %v, longest gap %v", ended, gap.Round(100*time.Millisecond))), settleTime, after.beyond(before), note)
	return nil
}

func judged(good bool, text string) string {
	if good {
		return text
	}
	return text + " (!)"
}

// watchRSS polls the memory until the returned function is called, which returns the
// maximum.
func (t *trial) watchRSS(ctx context.Context) func() int64 {
	ctx, cancel := context.WithCancel(ctx)
	var most int64
	var watching sync.WaitGroup
	watching.Go(func() {
		for ctx.Err() == nil {
			now, err := t.RSS()
			if err != nil {
				now = 1 << 62 // the server has died, which must not count as low memory
			}
			most = max(most, now)
			pause(ctx, 20*time.Millisecond)
		}
	})
	return func() int64 {
		cancel()
		watching.Wait()
		return most
	}
}

// watchTail follows the calm run. The returned function stops that, and returns the
// longest time without a message, and whether the stream had ended before.
func (t *trial) watchTail(ctx context.Context) func() (gap time.Duration, ended bool) {
	ctx, cancel := context.WithCancel(ctx)
	var gap time.Duration
	var ended bool
	var watching sync.WaitGroup
	watching.Go(func() {
		stream, err := t.Metrics.TailMetrics(ctx, &runicornapiv1.TailMetricsRequest{Viewer: "w", RunIds: []string{t.calm.runID}})
		for last := time.Now(); err == nil; last = time.Now() {
			_, err = stream.Recv()
			gap = max(gap, time.Since(last))
		}
		ended = ctx.Err() == nil
	})
	return func() (time.Duration, bool) {
		cancel()
		watching.Wait()
		return gap, ended
	}
}

// figures are metrics that must not grow, and the number of temporary files.
type figures map[string]float64

func (t *trial) figures(ctx context.Context) figures {
	gauges, _ := t.Gauges(ctx) // empty if the server is dead
	files, _ := os.ReadDir(t.temp)
	return figures{
		"goroutines": gauges["go_goroutines"], "descriptors": gauges["process_open_fds"],
		"heap": gauges["go_memstats_heap_alloc_bytes"], "temporary files": float64(len(files)),
	}
}

func (f figures) beyond(before figures) string {
	return fmt.Sprintf("%+.0f goroutines, %+.0f descriptors, %+.0f temporary files, heap %+.0f MiB", f["goroutines"]-before["goroutines"],
		f["descriptors"]-before["descriptors"], f["temporary files"]-before["temporary files"], (f["heap"]-before["heap"])/mib)
}

// calmViewer has the growing run of the other caller.
type calmViewer struct {
	name, url, runID string
	close            func() error
}

func newCalmViewer(ctx context.Context, bed *rig.Bed) (*calmViewer, error) {
	if _, err := realviewer.Find(realviewer.V060); err != nil {
		viewer, err := demotest.New(demotest.Config{Live: true})
		if err != nil {
			return nil, err
		}
		server := httptest.NewServer(viewer)
		return &calmViewer{"a demo Viewer", server.URL, viewer.LiveRun(), func() error { server.Close(); return nil }}, nil
	}
	storage := filepath.Join(bed.Dir, "calm")
	live, err := realviewer.WriteRun(storage, realviewer.V060, realviewer.RunSpec{
		Project: "calm", Name: "live", Status: "running", PID: os.Getpid(), Lines: realviewer.Curve(time.Now(), 100, "loss"),
	})
	if err != nil {
		return nil, err
	}
	viewer, err := rig.StartViewer(ctx, realviewer.V060, storage, live.RunID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var logging sync.WaitGroup
	logging.Go(func() {
		for step := 100; ctx.Err() == nil; step++ {
			_, _ = rig.AppendLines(filepath.Join(live.Dir, "events.jsonl"), step, 1) // a failure shows as a gap in the tail
			pause(ctx, 200*time.Millisecond)
		}
	})
	return &calmViewer{"a real Viewer " + string(realviewer.V060), viewer.URL(), live.RunID, func() error {
		cancel()
		logging.Wait()
		return viewer.Close()
	}}, nil
}
