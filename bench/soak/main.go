// Command soak runs a server in front of three real Viewers for a long time: lists,
// histories, tails that drop and resume, and exports, while the Viewers are restarted in
// turn. It writes the resources of the process over time as a table and as a picture, and
// fails if they grow or if a call fails while no Viewer is down. Run it from the root of
// the repository; ten minutes are its short form, two hours its long one:
//
//	go run ./bench/soak [-time 10m] [-restart 1m] [-rows 2000] [-every 1s] [-pprof 127.0.0.1:6060] [-out dist/soak]
//
// The files are OUT.csv and OUT.svg, and with -pprof also OUT-early.pb.gz and
// OUT-late.pb.gz. The server holds a part of each followed run, for 0.5 the whole table, so
// its memory grows with the runs: two hours need an -every of 10s and some -rows to show
// what grows with time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var (
	duration = flag.Duration("time", 10*time.Minute, "duration of the load")
	restart  = flag.Duration("restart", time.Minute, "time between two restarts of Viewers")
	rows     = flag.Int("rows", 2000, "initial number of rows of a run")
	every    = flag.Duration("every", time.Second, "interval of the lines of a run")
	profiles = flag.String("pprof", "", "address on loopback at which the server serves profiles; its heap after a quarter of the time and at the end is saved")
	output   = flag.String("out", "dist/soak", "path of the table and the picture, without .csv and .svg")
)

const (
	// perViewer is the number of growing runs on each Viewer.
	perViewer = 4
	// tailBytes and cacheBytes limit what the server holds of the runs. They grow all the
	// time, so memory is constant only once these limits are reached: within the first
	// quarter of two hours.
	tailBytes, cacheBytes = "--tail-bytes=4MiB", "--cache-bytes=2MiB"
)

func main() {
	flag.Parse()
	rig.Main("soak", soak)
}

// viewers are the Viewers and their runs.
type viewers struct {
	all    []*realviewer.Viewer
	names  []string
	runs   map[string][]realviewer.Run // by name of the Viewer
	mu     sync.Mutex
	down   map[string]bool      // while it is being restarted
	downAt map[string]time.Time // when it was last down
}

func startViewers(ctx context.Context, dir string) (*viewers, error) {
	v := &viewers{runs: map[string][]realviewer.Run{}, down: map[string]bool{}, downAt: map[string]time.Time{}}
	for _, version := range realviewer.Versions() {
		name := "v" + strings.ReplaceAll(version.Generation(), ".", "")
		storage := filepath.Join(dir, name)
		var ids []string
		for i := range perViewer {
			run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
				Project: "soak", Name: fmt.Sprintf("run-%d", i), Status: "running", PID: os.Getpid(),
				Lines: realviewer.Curve(time.Now().Add(-time.Hour), *rows, "loss", "accuracy"),
			})
			if err != nil {
				return v, err
			}
			v.runs[name], ids = append(v.runs[name], run), append(ids, run.RunID)
		}
		viewer, err := rig.StartViewer(ctx, version, storage, ids...)
		if err != nil {
			return v, err
		}
		v.all, v.names = append(v.all, viewer), append(v.names, name)
	}
	return v, nil
}

func (v *viewers) close() error {
	var errs []error
	for _, viewer := range v.all {
		errs = append(errs, viewer.Close())
	}
	return errors.Join(errs...)
}

// restartInTurn restarts one Viewer after the other until the context ends.
func (v *viewers) restartInTurn(ctx context.Context) error {
	for i := 0; rig.Pause(ctx, *restart) == nil; i++ {
		n := i % len(v.all)
		v.mark(v.names[n], true)
		err := v.all[n].Restart(context.WithoutCancel(ctx))
		v.mark(v.names[n], false)
		if err != nil {
			return err
		}
	}
	return nil
}

func (v *viewers) mark(name string, down bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.down[name], v.downAt[name] = down, time.Now()
}

// excuse is how long after a restart its Viewer may cause errors: the server retries a
// Viewer that refuses connections once per second, and 0.7.2 reads its storage again.
const excuse = 30 * time.Second

// wasDown reports whether a Viewer, or any Viewer for the empty name, is down or was down
// within excuse.
func (v *viewers) wasDown(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for n, at := range v.downAt {
		if (name == "" || n == name) && (v.down[n] || time.Since(at) < excuse) {
			return true
		}
	}
	return false
}

// grow writes lines to each run until the context ends.
func (v *viewers) grow(ctx context.Context) error {
	for step := *rows + 1; ctx.Err() == nil; step++ {
		for _, runs := range v.runs {
			for _, run := range runs {
				if _, err := rig.AppendLines(run.EventFile, step, 1); err != nil {
					return err
				}
			}
		}
		_ = rig.Pause(ctx, *every)
	}
	return nil
}

func soak(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	v, err := startViewers(ctx, b.Dir)
	defer func() { err = errors.Join(err, v.close()) }()
	if err != nil {
		return err
	}
	var front rig.Front
	// On a loaded machine some responses are late, which is not an error.
	flags := []string{"--fan-out-timeout=20s", tailBytes, cacheBytes}
	if *profiles != "" {
		flags = append(flags, "--pprof-listen="+*profiles)
	}
	for i, viewer := range v.all[1:] {
		flags = append(flags, fmt.Sprintf("--viewer=%s=%s", v.names[i+1], viewer.URL()))
	}
	v.rename(0, "v") // the name of rig's first Viewer
	defer func() { err = errors.Join(err, front.Close()) }()
	if err := front.Serve(ctx, b, v.all[0].URL(), flags...); err != nil {
		return err
	}
	l := &load{front: &front, viewers: v, calls: map[string]int{}, excused: map[string]int{}, failed: map[string]int{}}
	// A context with a deadline would give it to the calls, which then fail before its end.
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer time.AfterFunc(*duration, stop).Stop()
	var background errgroup.Group
	background.Go(func() error { return v.grow(working) })
	background.Go(func() error { return v.restartInTurn(working) })
	background.Go(func() error {
		_ = rig.Pause(working, *duration/4)
		return saveHeap(ctx, "early")
	})
	wait := l.start(working)
	samples, sampleErr := sampleUntil(working, out, &front)
	wait()
	if err := errors.Join(sampleErr, background.Wait(), saveHeap(ctx, "late")); err != nil {
		return err
	}
	if err := write(*output, samples); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d samples in %s.csv, their picture in %s.svg\n", len(samples), *output, *output)
	l.report(out)
	return errors.Join(flat(out, samples), l.err())
}

// saveHeap saves a profile of the live heap of the server, if it serves profiles.
func saveHeap(ctx context.Context, when string) error {
	if *profiles == "" {
		return nil
	}
	profile, err := rig.Read(ctx, "http://"+*profiles+"/debug/pprof/heap?gc=1")
	if err != nil {
		return fmt.Errorf("read the profile of the heap: %w", err)
	}
	return errors.Join(os.MkdirAll(filepath.Dir(*output), 0o755), os.WriteFile(*output+"-"+when+".pb.gz", profile, 0o644)) //nolint:gosec // for people
}

// rename gives a Viewer another name.
func (v *viewers) rename(i int, name string) {
	v.runs[name] = v.runs[v.names[i]]
	delete(v.runs, v.names[i])
	v.names[i] = name
}

// flat compares the second quarter of the samples with the last one. In the first
// quarter, caches are still being filled.
func flat(out io.Writer, samples []sample) error {
	if len(samples) < 8 {
		return errors.New("there are too few samples to compare")
	}
	quarter := len(samples) / 4
	var errs []error
	for i, c := range curves {
		early, late := median(samples[quarter:2*quarter], i), median(samples[3*quarter:], i)
		growth := late/early - 1
		fmt.Fprintf(out, "  %-12s %10.0f → %10.0f: %+.1f %% (bound: %+.0f %%)\n", c.name, early, late, 100*growth, 100*c.growth)
		if !(growth <= c.growth) { // NaN if the server has no such metric
			errs = append(errs, fmt.Errorf("%s grows by %.1f %%", c.name, 100*growth))
		}
	}
	return errors.Join(errs...)
}

func median(samples []sample, curve int) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, s.values[curve])
	}
	slices.Sort(values)
	return values[len(values)/2]
}
