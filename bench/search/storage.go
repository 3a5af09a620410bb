package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// bench measures with one release.
type bench struct {
	bed     *rig.Bed
	version realviewer.Version
	dir     string // of storages and states

	*rig.Rig
	runs    []realviewer.Run
	perPath int
	state   string // the server's state directory

	single           time.Duration // CPU time of the Viewer for one request for a run's events
	warmTime, warmed time.Duration // duration of a warm search, and its CPU time in the Viewer
}

// kind describes a storage.
type kind struct {
	name             string
	runs             int
	minRows, maxRows int
	perPath, growing int
}

// open writes a storage, unless it exists, and starts a Viewer and a server. With cold, the
// server starts without state.
func (b *bench) open(ctx context.Context, out io.Writer, k kind, cold bool) error {
	b.perPath = k.perPath
	name := fmt.Sprintf("%s-%s-%d-of-%d-to-%d-by-%d-%d-growing", k.name, b.version, k.runs, k.minRows, k.maxRows, k.perPath, k.growing)
	dir := filepath.Join(b.dir, name)
	if err := b.write(dir, k); err != nil {
		return err
	}
	if b.state = filepath.Join(b.dir, "state-"+name); cold {
		if err := os.RemoveAll(b.state); err != nil {
			return err
		}
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "Viewer %s, %d runs of %d to %d rows x %d metrics, %d of them growing; load before: %.4s\n",
		b.version, k.runs, k.minRows, k.maxRows, len(metricNames), k.growing, load)
	// The state of the server is keyed by the address of the Viewer, which must not change.
	address := filepath.Join(b.dir, "address-"+name)
	text, err := os.ReadFile(address)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.bed.ProxyAddr = string(text)
	if b.Rig, err = b.bed.Start(ctx, b.version, dir, "--state-dir="+b.state); err != nil {
		return err
	}
	const minutes = 10 // 0.7 needs several minutes to index thousands of runs
	for waited := 1; ; waited++ {
		err := b.Viewer.AwaitRuns(ctx, b.runIDs()...)
		if err == nil {
			break
		}
		if waited == minutes || ctx.Err() != nil {
			return err
		}
	}
	return os.WriteFile(address, []byte(strings.TrimPrefix(b.Proxy.URL(), "http://")), 0o600)
}

// firstDay is the creation time of the oldest run of a storage.
var firstDay = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// write writes the missing runs of a storage. The growing ones are written each time, as
// running in this process.
func (b *bench) write(dir string, k kind) error {
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range k.runs {
		created := firstDay.Add(time.Duration(i) * time.Minute)
		spec := realviewer.RunSpec{
			RunID:   fmt.Sprintf("%s_%06x", created.Format("20060102_150405"), i),
			Project: fmt.Sprintf("project-%d", i/k.perPath/20), Name: fmt.Sprintf("sweep-%d", i/k.perPath), Created: created,
			Lines:   realviewer.Curve(created, k.minRows+rng.IntN(k.maxRows-k.minRows+1), metricNames...),
			Summary: map[string]any{"best_metric_name": "val/acc", "best_metric_value": rng.Float64()},
		}
		isGrowing := i >= k.runs-k.growing
		if isGrowing {
			spec.Status, spec.PID = "running", os.Getpid()
		}
		run, err := spec.Place(dir, b.version)
		if err != nil {
			return err
		}
		// status.json is the last file that is written.
		if _, err := os.Stat(filepath.Join(run.Dir, "status.json")); isGrowing || errors.Is(err, fs.ErrNotExist) {
			if run, err = realviewer.WriteRun(dir, b.version, spec); err != nil {
				return err
			}
		}
		b.runs = append(b.runs, run)
	}
	return nil
}

func (b *bench) runIDs() []string {
	ids := make([]string, len(b.runs))
	for i := range b.runs {
		ids[i] = b.runs[i].RunID
	}
	return ids
}

// Close stops what open has started.
func (b *bench) Close() error {
	if b.Rig == nil {
		return nil
	}
	return b.Rig.Close()
}
