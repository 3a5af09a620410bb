// Command python measures the Python client: the time to read a history of a million
// rows and six metrics into pandas, with the package, with raw stubs, as Arrow over
// REST and over Arrow Flight, in alternating rounds of one run; and the time from
// `pip install` of both wheels into a fresh environment to the first live point of
// the demo. Run it from the root of the repository:
//
//	go run ./bench/python [install | history]
//
// It installs the Viewers and packages (Python 3 and PyPI are needed), and takes a few
// minutes on two cores.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	rows   = 1_000_000
	rounds = "7"
)

func main() { rig.Main("python", run) }

func run(ctx context.Context, out io.Writer, bed *rig.Bed) error {
	parts := os.Args[1:]
	if len(parts) == 0 {
		parts = []string{"install", "history"}
	}
	for _, part := range parts {
		measure, ok := map[string]func(context.Context, io.Writer, *rig.Bed) error{"install": firstPoint, "history": histories}[part]
		if !ok {
			return fmt.Errorf("%q is neither install nor history", part)
		}
		if err := measure(ctx, out, bed); err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	return nil
}

// histories reads the same history in four ways.
func histories(ctx context.Context, out io.Writer, bed *rig.Bed) (err error) {
	python, err := environment(ctx, filepath.Join(bed.Dir, "client"), "./clients/python[pandas,arrow]")
	if err != nil {
		return err
	}
	storage := filepath.Join(bed.Dir, "storage")
	long, err := realviewer.WriteRun(storage, realviewer.V072, realviewer.RunSpec{
		Project: "bench", Name: "long", Lines: realviewer.Curve(time.Now(), rows, "loss", "acc", "lr", "grad_norm", "val/loss", "val/acc"),
	})
	if err != nil {
		return err
	}
	viewer, err := rig.StartViewer(ctx, realviewer.V072, storage, long.RunID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, viewer.Close()) }()
	var front rig.Front
	if err := front.Serve(ctx, bed, viewer.URL()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, front.Close()) }()
	cmd := exec.CommandContext(ctx, python, "bench/python/history.py", front.Addr, front.HTTPAddr, long.RunID, rounds)
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return err
	}
	var seconds map[string][]float64
	if err := json.Unmarshal(text, &seconds); err != nil {
		return err
	}
	var medians, minima []float64 // the package's first
	for _, way := range []string{"package", "stubs", "arrow", "flight"} {
		of := seconds[way]
		slices.Sort(of)
		medians, minima = append(medians, of[len(of)/2]), append(minima, of[0])
		fmt.Fprintf(out, "1M × 6 into pandas, %-8s median %.2f s (%.1f M points/s), fastest %.2f s\n", way+":", of[len(of)/2], 6/of[len(of)/2], of[0])
	}
	fmt.Fprintf(out, "the package takes %.2f (medians), %.2f (fastest rounds) of the faster other way (goal 1.1)\n",
		medians[0]/slices.Min(medians[1:]), minima[0]/slices.Min(minima[1:]))
	return nil
}

// firstPoint installs both wheels into a fresh environment and starts the demo.
func firstPoint(ctx context.Context, out io.Writer, bed *rig.Bed) error {
	wheels := filepath.Join(bed.Dir, "wheels")
	python, err := environment(ctx, filepath.Join(bed.Dir, "tools"), "hatchling")
	if err != nil {
		return err
	}
	fresh := filepath.Join(bed.Dir, "fresh")
	if err := errors.Join(
		command(ctx, python, "-m", "pip", "wheel", "-q", "--no-deps", "-w", wheels, "./clients/python"),
		command(ctx, python, "clients/python-server/build.py", wheels, runtime.GOOS+"/"+runtime.GOARCH),
		command(ctx, "python3", "-m", "venv", fresh),
	); err != nil {
		return err
	}
	began := time.Now()
	if err := command(ctx, filepath.Join(fresh, "bin", "pip"), "install", "-q", "--disable-pip-version-check", "--find-links="+wheels, "--pre",
		"runicorn-grpc", "runicorn-grpc-server"); err != nil {
		return err
	}
	installed := time.Since(began)
	if err := command(ctx, filepath.Join(fresh, "bin", "python"), "bench/python/first_point.py", filepath.Join(fresh, "bin", "runicorn-grpc")); err != nil {
		return err
	}
	fmt.Fprintf(out, "pip install of both wheels %.1f s, first live point after %.1f s\n", installed.Seconds(), time.Since(began).Seconds())
	return nil
}

// environment creates a virtual environment and returns its Python.
func environment(ctx context.Context, dir string, packages ...string) (string, error) {
	python := filepath.Join(dir, "bin", "python")
	install := append([]string{"-m", "pip", "install", "-q", "--disable-pip-version-check"}, packages...)
	return python, errors.Join(command(ctx, "python3", "-m", "venv", dir), command(ctx, python, install...))
}

func command(ctx context.Context, name string, args ...string) error {
	if out, err := exec.CommandContext(ctx, name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
