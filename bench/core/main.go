// Command core measures what the unary calls cost, in front of real Viewers,
// and prints the ratios that the project promises, each from one run in which
// both sides alternate. Run it from the root of the repository:
//
//	go run ./bench/core
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the
// server, and takes about two minutes on two cores.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "core:", err)
		os.Exit(1)
	}
}

// run measures, part by part.
func run(ctx context.Context, out io.Writer) (err error) {
	b, err := rig.NewBed(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
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
