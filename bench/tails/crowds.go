package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// stallTime is how long clients do not read.
var stallTime = flag.Duration("stall", 10*time.Minute, "how long clients are stalled")

// drain ends a server with 10,000 tails while their run grows, next to another server.
func drain(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	const tails, first, lines = 10_000, 1000, 20
	run, r, err := liveRig(ctx, b, "drain", realviewer.V072, first-1, "loss")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	var other rig.Front
	if err := other.Serve(ctx, b, r.Proxy.URL()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.Close()) }()
	c, err := collect(ctx, []string{r.Addr, other.Addr}, run.RunID, tails, conns)
	if err != nil {
		return err
	}
	writing := make(chan error, 1)
	go func() { writing <- write(ctx, run.EventFile, first, lines) }()
	if err := rig.Pause(ctx, lines/2*time.Second); err != nil {
		return err
	}
	start := time.Now()
	err = r.Stop() // an error unless it exits with 0
	took := time.Since(start)
	if err := errors.Join(err, <-writing, waitQuiet(c, first, lines), c.close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "  SIGTERM with %d tails: exit after %v (goal: within --drain-timeout, 8s), %d sent away with SERVER_DRAINING and resumed elsewhere, every step once at each\n",
		tails, took.Round(time.Millisecond), c.moved.Load())
	if c.moved.Load() != tails {
		return fmt.Errorf("%d of %d tails continued elsewhere", c.moved.Load(), tails)
	}
	return nil
}

// stalled opens tails that do not read, next to one that does, while their run grows by
// far more than the buffers between server and client.
func stalled(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	const tails, perSecond = 1000, 500
	run, r, err := liveRig(ctx, b, "stalled", realviewer.V072, 1, "loss")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	reader, err := collect(ctx, []string{r.Addr}, run.RunID, 1, 1)
	if err != nil {
		return err
	}
	// A fixed window; otherwise the client would receive and buffer ever more.
	conn, err := grpc.NewClient(r.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStaticStreamWindowSize(64<<10), grpc.WithStaticConnWindowSize(1<<20))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	streams, err := stall(ctx, conn, run.RunID, tails)
	if err != nil {
		return err
	}
	before, err := r.RSS()
	if err != nil {
		return err
	}
	step, start := 2, time.Now()
	for ; time.Since(start) < *stallTime; step += perSecond {
		if _, err := rig.AppendLines(run.EventFile, step, perSecond); err != nil {
			return err
		}
		if err := rig.Pause(ctx, time.Second); err != nil {
			return err
		}
	}
	peak, err := r.PeakRSS()
	if err := errors.Join(err, waitQuiet(reader, 2, step-2), reader.close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %d stalled clients for %v, %d lines logged and all read by the client beside them: server RSS +%d MiB (goal: 64)\n",
		tails, time.Since(start).Round(time.Second), step-2, (peak-before)/mib)
	return wakeUp(streams[0], int64(step-1))
}

type tailStream = grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse]

// stall opens tails and reads one message of each.
func stall(ctx context.Context, conn *grpc.ClientConn, runID string, n int) ([]tailStream, error) {
	client := runicornapiv1.NewMetricServiceClient(conn)
	streams := make([]tailStream, n)
	for i := range streams {
		s, err := client.TailMetrics(ctx, &runicornapiv1.TailMetricsRequest{RunIds: []string{runID}, MetricNames: []string{"loss"}})
		if err != nil {
			return nil, err
		}
		if _, err := s.Recv(); err != nil {
			return nil, err
		}
		streams[i] = s
	}
	return streams, nil
}

// wakeUp reads a stalled stream up to a step: it must have every step exactly once.
func wakeUp(s tailStream, last int64) error {
	for at := int64(0); at < last; {
		resp, err := s.Recv()
		if err != nil {
			return fmt.Errorf("a stalled client that reads on: %w", err)
		}
		for _, series := range resp.GetBatch().GetSeries() {
			for _, step := range series.GetSteps() {
				if at != 0 && step != at+1 {
					return fmt.Errorf("a stalled client that reads on gets step %d after %d", step, at)
				}
				at = step
			}
		}
	}
	return nil
}
