// Command core measures the cost of unary calls in front of real Viewers, and prints the
// ratios that the project promises. Each ratio is measured in one run in which both sides
// alternate. Run it from the root of the repository:
//
//	go run ./bench/core
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the
// server, and takes about two minutes on two cores.
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

func main() { rig.Main("core", run) }

// run measures, part by part.
func run(ctx context.Context, out io.Writer, b *rig.Bed) error {
	if err := manyRuns(ctx, out, b); err != nil {
		return fmt.Errorf("200 runs: %w", err)
	}
	for _, version := range []realviewer.Version{realviewer.V060, realviewer.V072} {
		if err := growingRun(ctx, out, b, version); err != nil {
			return fmt.Errorf("growing run on %s: %w", version, err)
		}
	}
	return nil
}
