// Command example uses a runicorn-grpc server: it lists experiments, reads a
// history, tails a run, and reads an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"google.golang.org/genproto/googleapis/rpc/code"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

const usage = `usage: example [flags] list | history RUN | tail RUN | error`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	address := flag.String("address", "127.0.0.1:23310", "`host:port` of the server")
	cutAfter := flag.Int("cut-after", 0, "tail: drop the connection once, after this many messages, and resume")
	limit := flag.Int("points", 0, "tail: end after this many points; 0 is the end of the run")
	flag.Parse()
	if err := run(ctx, *address, *cutAfter, *limit); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address string, cutAfter, limit int) error {
	c, err := client.New(address)
	if err != nil {
		return err
	}
	defer c.Close()
	out := &lines{to: json.NewEncoder(os.Stdout)}
	switch command, run := flag.Arg(0), flag.Arg(1); command {
	case "list":
		return list(ctx, c, out)
	case "history":
		return history(ctx, c, run, out)
	case "tail":
		out.limit = limit
		return tail(ctx, c, run, cutAfter, out)
	case "error":
		return failing(ctx, c, out)
	default:
		return errors.New(usage)
	}
}

// list prints all experiments of all Viewers.
func list(ctx context.Context, c *client.Client, out *lines) error {
	for e, err := range c.Experiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: "-"}) {
		if err != nil {
			return err
		}
		line := map[string]any{"run_id": e.GetRunId(), "path": e.GetPath(), "status": e.GetStatus().String()}
		if err := out.to.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

// history prints every point that a run has logged until now.
func history(ctx context.Context, c *client.Client, run string, out *lines) error {
	h, err := c.History(ctx, &runicornapiv1.StreamMetricsRequest{RunIds: []string{run}})
	if err != nil {
		return err
	}
	for _, s := range h.Series {
		if err := out.points(s.Points()); err != nil {
			return err
		}
	}
	return nil
}

// failing requests a run that does not exist, and prints the reason and details of
// the error.
func failing(ctx context.Context, c *client.Client, out *lines) error {
	_, err := c.ExperimentService.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: "20200101_000000_abcdef"})
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.Reason == "" {
		return fmt.Errorf("no error of the server's own: %w", err)
	}
	return out.to.Encode(map[string]any{
		"code": code.Code(e.Code).String(), "reason": e.Reason, "domain": client.Domain, "metadata": e.Metadata,
	})
}
