// Command tails measures the cost of followed runs in front of real Viewers, and prints
// the ratios that the project promises. Run it from the root of the repository:
//
//	go run ./bench/tails [-part fanout,latency,interval,many,history,memory,packing,direct,drain,stalled] [-rows 1000000]
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the
// server, and takes about half an hour on two cores, ten
// minutes of which clients do nothing.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
)

// parts are the measurements, in order.
var parts = []struct {
	name    string
	measure func(context.Context, io.Writer, *rig.Bed) error
}{
	{"fanout", fanout},
	{"latency", latency},
	{"interval", interval},
	{"many", manyRuns},
	{"history", history},
	{"memory", memory},
	{"packing", packing},
	{"direct", direct},
	{"drain", drain},
	{"stalled", stalled},
}

// bigRows is the size of the large run.
var bigRows = flag.Int("rows", 1_000_000, "rows of the large run")

func main() {
	selected := flag.String("part", "", "parts to measure, separated by commas; empty for all")
	flag.Parse()
	rig.Main("tails", func(ctx context.Context, out io.Writer, b *rig.Bed) error { return run(ctx, out, b, *selected) })
}

func run(ctx context.Context, out io.Writer, b *rig.Bed, selected string) error {
	for _, p := range parts {
		if selected != "" && !strings.Contains(","+selected+",", ","+p.name+",") {
			continue
		}
		fmt.Fprintf(out, "%s\n", p.name)
		if err := p.measure(ctx, out, b); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}
