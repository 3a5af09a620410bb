// Command export measures the cost of the export of a run of a million rows and six
// metrics: its duration, compared with the Viewer's own metrics_step of the same run, and
// the memory of the server above its idle memory after a small call. Every export is the
// first one of a new server. Then it exports many runs concurrently, and measures the
// server's health and the number of heavy calls to the Viewer. Run it from the root of
// the repository:
//
//	go run ./bench/export [RELEASE...]
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), needs Linux
// and takes a few minutes on two cores.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	rows = 1_000_000
	mib  = 1 << 20
)

var metrics = []string{"loss", "acc", "lr", "grad_norm", "val/loss", "val/acc"}

func main() { rig.Main("export", run) }

func run(ctx context.Context, out io.Writer, bed *rig.Bed) error {
	for _, version := range realviewer.Versions() {
		if len(os.Args) > 1 && !slices.Contains(os.Args[1:], string(version)) {
			continue
		}
		for _, part := range []func(context.Context, io.Writer, *rig.Bed, realviewer.Version) error{measure, crowd} {
			if err := part(ctx, out, bed, version); err != nil {
				return fmt.Errorf("viewer %s: %w", version, err)
			}
		}
	}
	return nil
}

// measure exports in all formats from one release.
func measure(ctx context.Context, out io.Writer, bed *rig.Bed, version realviewer.Version) (err error) {
	storage := filepath.Join(bed.Dir, string(version))
	long, err := realviewer.WriteRun(storage, version, realviewer.RunSpec{
		Project: "bench", Name: "long", Lines: realviewer.Curve(time.Now(), rows, metrics...),
	})
	if err != nil {
		return err
	}
	viewer, err := rig.StartViewer(ctx, version, storage, long.RunID)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, viewer.Close()) }()
	started := time.Now()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := rig.Get(ctx, client, viewer.URL()+"/api/runs/"+long.RunID+"/metrics_step"); err != nil {
		return err
	}
	table := time.Since(started)
	fmt.Fprintf(out, "Viewer %s, %d rows, %d metrics; metrics_step takes %.1f s\n", version, rows, len(metrics), table.Seconds())
	for _, layout := range []runicornapiv1.ExportLayout{runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE, runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG} {
		for _, format := range []runicornapiv1.ExportFormat{
			runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV, runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW,
			runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET,
		} {
			req := &runicornapiv1.ExportExperimentRequest{RunId: long.RunID, Format: format, Layout: layout}
			if err := one(ctx, out, bed, viewer.URL(), req, table); err != nil {
				return err
			}
		}
	}
	return nil
}

// one makes one export with a new server.
func one(ctx context.Context, out io.Writer, bed *rig.Bed, viewerURL string, req *runicornapiv1.ExportExperimentRequest, table time.Duration) (err error) {
	var front rig.Front
	defer func() { err = errors.Join(err, front.Close()) }()
	if err := front.Serve(ctx, bed, viewerURL); err != nil {
		return err
	}
	if _, err := front.Experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{}); err != nil {
		return err
	}
	var size int64
	var took time.Duration
	_, above, err := front.Memory(func() (err error) {
		started := time.Now()
		size, err = receive(ctx, &front, req)
		took = time.Since(started)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  %-22v %-20v %5.1f s (%.2f of metrics_step, goal: 1), %4d MiB sent, %4d MiB above idle (goal: 128)\n",
		req.GetFormat(), req.GetLayout(), took.Seconds(), took.Seconds()/table.Seconds(), size/mib, above)
	return nil
}

// receive reads an export to its end and returns its size.
func receive(ctx context.Context, front *rig.Front, req *runicornapiv1.ExportExperimentRequest) (int64, error) {
	stream, err := front.Experiments.ExportExperiment(ctx, req)
	if err != nil {
		return 0, err
	}
	var size int64
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, errors.New("the export has no trailer")
		}
		if err != nil {
			return 0, err
		}
		size += int64(len(message.GetChunk()))
		if trailer := message.GetTrailer(); trailer != nil {
			if trailer.GetSizeBytes() != size {
				return 0, fmt.Errorf("%d bytes came, the trailer says %d", size, trailer.GetSizeBytes())
			}
			return size, nil
		}
	}
}
