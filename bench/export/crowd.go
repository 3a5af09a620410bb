package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// crowd exports several runs concurrently, in all formats of tables, while the server's
// health is checked. If the Viewer serves no event files, each export needs a heavy call
// for its table.
func crowd(ctx context.Context, out io.Writer, bed *rig.Bed, version realviewer.Version) (err error) {
	const runs, rowsEach = 12, 100_000
	storage := filepath.Join(bed.Dir, "crowd-"+string(version))
	var ids []string
	for i := range runs {
		run, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
			Project: "bench", Name: fmt.Sprint("run", i), Lines: realviewer.Curve(time.Now(), rowsEach, metrics...),
		})
		if err != nil {
			return err
		}
		ids = append(ids, run.RunID)
	}
	viewer, err := rig.StartViewer(ctx, version, storage, ids...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, viewer.Close()) }()
	heavy, err := rig.NewHeavy(viewer.URL())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, heavy.Close()) }()
	var front rig.Front
	defer func() { err = errors.Join(err, front.Close()) }()
	if err := front.Serve(ctx, bed, heavy.URL()); err != nil {
		return err
	}
	var took time.Duration
	summary, err := front.Crowd(ctx, heavy, func() error {
		started := time.Now()
		defer func() { took = time.Since(started) }()
		var exports errgroup.Group
		for i, id := range ids {
			exports.Go(func() error { return crowdExport(ctx, &front, i, id) })
		}
		return exports.Wait()
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d exports of %d rows at once: %.1f s, %s\n", runs, rowsEach, took.Seconds(), summary)
	return nil
}

// crowdExport exports one run, and retries when the server is at its limit of such
// exports.
func crowdExport(ctx context.Context, front *rig.Front, i int, id string) error {
	req := &runicornapiv1.ExportExperimentRequest{
		RunId: id, Layout: runicornapiv1.ExportLayout(1 + i%2),
		Format: []runicornapiv1.ExportFormat{
			runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW, runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET,
		}[i%3],
	}
	for {
		_, err := receive(ctx, front, req)
		if status.Code(err) != codes.ResourceExhausted {
			return err
		}
		if err := rig.Pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
