// Command download measures the cost of a download of 1 GiB through the server, compared
// with the same file directly from the Viewer, both with curl and alternating. It also
// measures the memory of the server during downloads. Run it from the root of the
// repository:
//
//	go run ./bench/download
//
// It installs the Viewer by itself (Python 3 and PyPI are needed), needs curl
// and Linux, and takes about a minute on two cores.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	fileSize = 1 << 30
	rounds   = 5
	mib      = 1 << 20
)

func main() { rig.Main("download", run) }

// run measures in front of each release that serves files.
func run(ctx context.Context, out io.Writer, bed *rig.Bed) error {
	for _, version := range []realviewer.Version{realviewer.V060, realviewer.V072} {
		if err := measure(ctx, out, bed, version); err != nil {
			return fmt.Errorf("viewer %s: %w", version, err)
		}
	}
	return nil
}

// measure measures one release.
func measure(ctx context.Context, out io.Writer, bed *rig.Bed, version realviewer.Version) (err error) {
	file, err := writeBig(filepath.Join(bed.Dir, string(version)), version)
	if err != nil {
		return err
	}
	viewer, err := rig.StartViewer(ctx, version, file.storage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, viewer.Close()) }()
	direct := viewer.URL() + "/api/runs/" + file.runID + "/assets/download?path=" + file.path
	fmt.Fprintf(out, "Viewer %s, %d MiB\n", version, fileSize/mib)
	for _, part := range []func(context.Context, io.Writer, *front, string) error{speed, slowReaders, crowd} {
		if err := inFront(ctx, bed, viewer.URL(), file.runID, func(f *front) error { return part(ctx, out, f, direct) }); err != nil {
			return err
		}
	}
	return nil
}

// speed compares downloads, in rounds.
func speed(ctx context.Context, out io.Writer, f *front, direct string) error {
	var straight, overHTTP, overGRPC time.Duration
	idle, above, err := f.Memory(func() error {
		for range rounds {
			for _, way := range []struct {
				sum *time.Duration
				get func() error
			}{
				{&straight, func() error { return curl(ctx, direct) }},
				{&overHTTP, func() error { return curl(ctx, f.url) }},
				{&overGRPC, func() error { return f.read(ctx, f.request, 0) }},
			} {
				start := time.Now()
				if err := way.get(); err != nil {
					return err
				}
				*way.sum += time.Since(start)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	rate := func(d time.Duration) float64 { return rounds * fileSize / mib / d.Seconds() }
	fmt.Fprintf(out, "  curl from the Viewer: %.0f MiB/s\n  curl through the server: %.0f MiB/s = %.2fx\n  gRPC: %.0f MiB/s = %.2fx\n",
		rate(straight), rate(overHTTP), rate(overHTTP)/rate(straight), rate(overGRPC), rate(overGRPC)/rate(straight))
	fmt.Fprintf(out, "  (goal: 0.6x); memory of the server: %d MiB idle, +%d MiB at most (goal: 32)\n", idle, above)
	return nil
}

// curl downloads a URL with curl, and returns curl's error.
func curl(ctx context.Context, url string) error {
	cmd := exec.CommandContext(ctx, "curl", "-sS", "--fail", "-o", os.DevNull, "-w", "%{size_download}", url)
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("curl %s: %w", url, err)
	}
	if n, err := strconv.ParseInt(strings.TrimSpace(string(answer)), 10, 64); err != nil || n != fileSize {
		return fmt.Errorf("curl %s: %s bytes", url, answer)
	}
	return nil
}
