// Command search measures the question "which runs were best?" in front of real
// Viewers: cold, warm, after a restart, while runs grow, and as a Python user
// asks it today. Run it from the root of the repository:
//
//	go run ./bench/search
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the
// server, and takes about twenty minutes and 3 GB of disk on two cores; -runs
// and -max-rows make it smaller.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var (
	runCount = flag.Int("runs", 2000, "number of runs")
	minRows  = flag.Int("min-rows", 500, "minimum rows of a run")
	maxRows  = flag.Int("max-rows", 5000, "maximum rows of a run")
	growing  = flag.Int("growing", 100, "number of runs that grow")
	perPath  = flag.Int("per-path", 10, "number of runs of one path")
	watch    = flag.Duration("watch", 30*time.Second, "how long growing runs are watched")
	versions = flag.String("versions", "0.7.2,0.6.0", "releases of the Viewer, separated by commas")
	python   = flag.Bool("python", true, "also ask as a Python user does")
)

// metricNames are the metrics of each run.
var metricNames = []string{"train/loss", "val/acc", "val/loss", "lr", "grad/norm", "time/step", "epoch", "gpu/mem"}

func main() {
	flag.Parse()
	rig.Main("search", run)
}

// run measures in front of each release.
func run(ctx context.Context, out io.Writer, b *rig.Bed) error {
	for version := range strings.SplitSeq(*versions, ",") {
		if err := measure(ctx, out, b, realviewer.Version(version)); err != nil {
			return fmt.Errorf("viewer %s: %w", version, err)
		}
	}
	return nil
}

// storage writes the runs. Some of them run, in the name of this process.
func storage(b *rig.Bed, version realviewer.Version) (dir string, runs []realviewer.Run, err error) {
	dir = filepath.Join(b.Dir, "search-"+string(version))
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range *runCount {
		created := time.Now().Add(time.Duration(i-*runCount) * time.Minute)
		spec := realviewer.RunSpec{
			Project: fmt.Sprintf("project-%d", i / *perPath / 20), Name: fmt.Sprintf("sweep-%d", i / *perPath), Created: created,
			Lines: realviewer.Curve(created, *minRows+rng.IntN(*maxRows-*minRows+1), metricNames...),
		}
		if i >= *runCount-*growing {
			spec.Status, spec.PID = "running", os.Getpid()
		}
		run, err := realviewer.WriteRun(dir, version, spec)
		if err != nil {
			return dir, nil, err
		}
		runs = append(runs, run)
	}
	return dir, runs, nil
}

// measure measures in front of one release.
func measure(ctx context.Context, out io.Writer, b *rig.Bed, version realviewer.Version) (err error) {
	dir, runs, err := storage(b, version)
	if err != nil {
		return err
	}
	state := filepath.Join(b.Dir, "state-"+string(version))
	r, err := b.Start(ctx, version, dir, "--state-dir="+state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close(), os.RemoveAll(dir)) }()
	fmt.Fprintf(out, "Viewer %s, %d runs of %d to %d rows x %d metrics, %d of them growing\n",
		version, *runCount, *minRows, *maxRows, len(metricNames), *growing)
	steps := []func(context.Context, io.Writer, *rig.Rig, []realviewer.Run) error{single, cold, warm, memory, watchGrowing}
	if *python {
		steps = append(steps, askInPython)
	}
	for _, step := range steps {
		if err := step(ctx, out, r, runs); err != nil {
			return err
		}
	}
	return restart(ctx, out, b, r, state)
}
