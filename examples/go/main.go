// Command example uses a runicorn-grpc server: it lists experiments, reads a
// history, follows a run that is training, and reads an error.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

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

	out := &lines{to: json.NewEncoder(os.Stdout)}
	var err error
	switch command, run := flag.Arg(0), flag.Arg(1); command {
	case "list":
		err = list(ctx, *address, out)
	case "history":
		err = history(ctx, *address, run, out)
	case "tail":
		out.limit = *limit
		err = tail(ctx, *address, run, *cutAfter, out)
	case "error":
		err = failing(ctx, *address, out)
	default:
		err = errors.New(usage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// list prints all experiments of all Viewers, page by page.
func list(ctx context.Context, address string, out *lines) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := runicornapiv1.NewExperimentServiceClient(conn)
	req := &runicornapiv1.ListExperimentsRequest{Viewer: "-", PageSize: 100}
	for {
		resp, err := client.ListExperiments(ctx, req)
		if err != nil {
			return err
		}
		for _, e := range resp.GetExperiments() {
			line := map[string]any{"run_id": e.GetRunId(), "path": e.GetPath(), "status": e.GetStatus().String()}
			if err := out.to.Encode(line); err != nil {
				return err
			}
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			return nil
		}
	}
}

// history prints every point that a run has logged until now.
func history(ctx context.Context, address, run string, out *lines) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := runicornapiv1.NewMetricServiceClient(conn).StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{RunIds: []string{run}})
	if err != nil {
		return err
	}
	complete := false
	for {
		resp, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF) && complete:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the history was cut: no trailer")
		case err != nil:
			return err
		}
		complete = resp.GetTrailer() != nil
		if err := out.points(resp.GetBatch()); err != nil {
			return err
		}
	}
}

// failing asks for a run that no Viewer has, and prints what a program can
// read from the error.
func failing(ctx context.Context, address string, out *lines) error {
	conn, err := connect(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = runicornapiv1.NewExperimentServiceClient(conn).GetExperiment(ctx,
		&runicornapiv1.GetExperimentRequest{RunId: "20200101_000000_abcdef"})
	st := status.Convert(err)
	for _, detail := range st.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return out.to.Encode(map[string]any{
				"code": code.Code(st.Code()).String(), "reason": info.GetReason(), "domain": info.GetDomain(), "metadata": info.GetMetadata(),
			})
		}
	}
	return fmt.Errorf("no google.rpc.ErrorInfo in %w", err)
}
