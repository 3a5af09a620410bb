// Command search measures the search for the runs with the best metric, in front of real
// Viewers: cold, warm, after a restart, while runs grow, and with the Viewer's REST API from
// Python. It also measures a page of full experiments. Run it from the root of the
// repository:
//
//	go run ./bench/search
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the server, and
// takes about half an hour and 5 GB of disk on two cores. -part selects the measurements,
// -dir keeps the storages and the server's state for later calls, and -runs and -max-rows
// reduce the size.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var (
	runCount   = flag.Int("runs", 2000, "number of runs")
	minRows    = flag.Int("min-rows", 500, "minimum rows of a run")
	maxRows    = flag.Int("max-rows", 5000, "maximum rows of a run")
	growing    = flag.Int("growing", 100, "number of runs that grow")
	perPath    = flag.Int("per-path", 10, "number of runs per path")
	watch      = flag.Duration("watch", 30*time.Second, "duration of the part growing")
	versions   = flag.String("versions", "0.7.2,0.6.0", "releases of the Viewer, separated by commas")
	part       = flag.String("part", "cold,warm,growing,python,many,full-page", "parts to measure, separated by commas")
	keep       = flag.String("dir", "", "directory that keeps storages and the server's state between calls")
	pythonRuns = flag.Int("python-runs", 0, "number of runs that the part python reads, from which the cost of all is estimated; 0 reads all")
	manyRuns   = flag.Int("many", 10_000, "number of runs in the part many")
	pageRuns   = flag.Int("page-runs", 5000, "number of runs in the part full-page")
)

// metricNames are the metrics of each run.
var metricNames = []string{"train/loss", "val/acc", "val/loss", "lr", "grad/norm", "time/step", "epoch", "gpu/mem"}

func main() {
	flag.Parse()
	rig.Main("search", run)
}

// wants reports whether a part is selected.
func wants(name string) bool { return slices.Contains(strings.Split(*part, ","), name) }

// run measures the selected parts with each release.
func run(ctx context.Context, out io.Writer, b *rig.Bed) error {
	for text := range strings.SplitSeq(*versions, ",") {
		version := realviewer.Version(text)
		for _, m := range []struct {
			isWanted bool
			measure  func(context.Context, io.Writer, *bench) error
		}{
			{wants("cold") || wants("warm") || wants("growing") || wants("python"), measureMain},
			{wants("many"), measureMany},
			{wants("full-page") && version == realviewer.V060, measurePage},
		} {
			if !m.isWanted {
				continue
			}
			if err := m.measure(ctx, out, &bench{bed: b, version: version, dir: cmp.Or(*keep, b.Dir)}); err != nil {
				return fmt.Errorf("viewer %s: %w", version, err)
			}
		}
	}
	return nil
}

// measureMain measures the parts that share the large storage.
func measureMain(ctx context.Context, out io.Writer, b *bench) (err error) {
	k := kind{name: "search", runs: *runCount, minRows: *minRows, maxRows: *maxRows, perPath: *perPath, growing: *growing}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.open(ctx, out, k, wants("cold")); err != nil {
		return err
	}
	if wants("cold") {
		if err := errors.Join(b.measureSingle(ctx, out), b.measureCold(ctx, out)); err != nil {
			return err
		}
	}
	if _, err := b.search(ctx); err != nil { // fast if the part cold or an earlier call has read the runs
		return err
	}
	for _, step := range []struct {
		part    string
		measure func(context.Context, io.Writer) error
	}{
		{"warm", b.measureWarm},
		{"warm", b.measureMemory},
		{"growing", b.measureGrowing},
		{"python", b.measureWarm},
		{"python", b.measurePython},
		{"warm", b.measureRestart},
	} {
		if wants(step.part) {
			if err := step.measure(ctx, out); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureMany measures warm searches over many small runs.
func measureMany(ctx context.Context, out io.Writer, b *bench) (err error) {
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.open(ctx, out, kind{name: "many", runs: *manyRuns, minRows: 3, maxRows: 3, perPath: 50}, false); err != nil {
		return err
	}
	if _, err := b.search(ctx); err != nil {
		return err
	}
	return errors.Join(b.measureWarm(ctx, out), b.measureMemory(ctx, out), b.measureRestart(ctx, out))
}
