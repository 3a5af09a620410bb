package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	bigRows = 1_000_000
	newRows = 10
	rounds  = 5
)

// growingRun measures repeated calls of GetMetrics on a run of a million rows, to which
// ten rows are added between two calls.
func growingRun(ctx context.Context, out io.Writer, b *rig.Bed, version realviewer.Version) (err error) {
	storage := filepath.Join(b.Dir, "growing-"+string(version))
	run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
		Project: "vision", Name: "big", Status: "running", PID: os.Getpid(),
		Lines: realviewer.Curve(time.Now(), bigRows, "loss", "accuracy", "lr"),
	})
	if err != nil {
		return err
	}
	r, err := b.Start(ctx, version, storage)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := r.Close(); err == nil {
			err = closeErr
		}
	}()
	last := int32(1)
	read := func() error {
		_, err := r.Metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{RunId: run.RunID, Last: &last})
		return err
	}
	start := time.Now()
	if err := read(); err != nil {
		return err
	}
	fmt.Fprintf(out, "Viewer %s, one run of %d rows x 3 metrics\n  first GetMetrics: %v, %d bytes from the Viewer\n",
		version, bigRows, time.Since(start).Round(time.Millisecond), r.Bytes.Bytes())

	var appended, fetched int64
	var extended, table time.Duration
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for round := range rounds {
		// The first read of the table fills the Viewer's cache, which favours the Viewer.
		_, cost, err := r.Costs(func() error {
			return rig.Get(ctx, client, r.Viewer.URL()+"/api/runs/"+run.RunID+"/metrics_step")
		})
		if err != nil {
			return err
		}
		if round > 0 {
			table += cost
		}
		size, err := rig.AppendLines(run.EventFile, bigRows+1+round*newRows, newRows)
		if err != nil {
			return err
		}
		before := r.Bytes.Bytes()
		if _, cost, err = r.Costs(read); err != nil {
			return err
		}
		appended, fetched, extended = appended+size, fetched+r.Bytes.Bytes()-before, extended+cost
	}
	fmt.Fprintf(out, "  GetMetrics after %d new lines: %d bytes from the Viewer for %d new ones: +%d (goal: +4096 at most)\n",
		newRows, fetched/rounds, appended/rounds, (fetched-appended)/rounds)
	fmt.Fprintf(out, "  Viewer CPU: %v for it, %v for one warm metrics_step: 1/%.0f (goal: 1/100)\n",
		extended/rounds, table/(rounds-1), float64(table/(rounds-1))/float64(max(extended/rounds, time.Millisecond)))
	return nil
}
