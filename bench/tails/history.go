package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

var sixMetrics = []string{"loss", "accuracy", "lr", "grad", "val/loss", "val/accuracy"}

// history compares StreamMetrics of a large run with the Viewer's table, and measures the
// server's health meanwhile.
func history(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	run, r, err := liveRig(ctx, b, "history", realviewer.V060, *bigRows, sixMetrics...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	idle, err := r.RSS()
	if err != nil {
		return err
	}
	first, whole, points, err := stream(ctx, r, run.RunID)
	if err != nil {
		return err
	}
	peak, err := r.PeakRSS()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  StreamMetrics of %d rows x 6 metrics on 0.6.0: first batch %v, %d points in %v, server RSS +%d MiB (goal: 64)\n",
		*bigRows, first.Round(time.Millisecond), points, whole.Round(time.Millisecond), (peak-idle)/mib)
	for _, n := range []int{1, 8} {
		watch := r.WatchHealth(ctx)
		var all errgroup.Group
		for range n {
			all.Go(func() error { _, _, _, err := stream(ctx, r, run.RunID); return err })
		}
		err := all.Wait()
		health := watch()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "    health of the server while %d such streams run: p99 %v of %d (goal: 50ms)\n", n, rig.Quantile(health, 0.99).Round(time.Microsecond), len(health))
	}
	ttfb, table, err := tableTimes(ctx, r.Viewer.URL()+"/api/runs/"+run.RunID+"/metrics_step")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "    the Viewer's metrics_step, warm: first byte %v, whole %v: first batch in 1/%.0f of it (goal: 1/20), whole stream in %.2f (goal: 0.5)\n",
		ttfb.Round(time.Millisecond), table.Round(time.Millisecond), float64(ttfb)/float64(first), float64(whole)/float64(table))
	return nil
}

// stream reads a whole history.
func stream(ctx context.Context, r *rig.Rig, runID string) (first, whole time.Duration, points int64, err error) {
	start := time.Now()
	s, err := r.Metrics.StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{RunIds: []string{runID}})
	if err != nil {
		return 0, 0, 0, err
	}
	for {
		resp, err := s.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return first, time.Since(start), points, nil
		case err != nil:
			return 0, 0, 0, err
		case resp.GetBatch() != nil && first == 0:
			first = time.Since(start)
		case resp.GetTrailer() != nil:
			points = resp.GetTrailer().GetPointCount()
		}
	}
}

// tableTimes measures the second read of a table; the first one parses the log.
func tableTimes(ctx context.Context, url string) (ttfb, whole time.Duration, err error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if err := rig.Get(ctx, client, url); err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	ttfb = time.Since(start)
	_, err = io.Copy(io.Discard, resp.Body)
	return ttfb, time.Since(start), err
}

// packer is a server that streams points in batches of one size.
type packer struct {
	runicornapiv1.UnimplementedMetricServiceServer
	points, batch int
}

func (p *packer) StreamMetrics(_ *runicornapiv1.StreamMetricsRequest, s grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	for at := 0; at < p.points; at += p.batch {
		series := &runicornapiv1.MetricSeries{MetricName: "loss", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER}
		for i := range p.batch {
			series.Steps = append(series.Steps, int64(at+i))
			series.Times = append(series.Times, 1.7e9+float64(at+i))
			series.Values = append(series.Values, 1/float64(at+i+1))
		}
		batch := &runicornapiv1.MetricBatch{Series: []*runicornapiv1.MetricSeries{series}, Fidelity: runicornapiv1.Fidelity_FIDELITY_EVENT_LOG}
		err := s.Send(&runicornapiv1.StreamMetricsResponse{
			Viewer: "v", RunId: "20260101_000000_abcdef", Event: &runicornapiv1.StreamMetricsResponse_Batch{Batch: batch},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// packing compares batches of 4096 points with messages of one point, over TCP, including
// encoding and decoding.
func packing(ctx context.Context, out io.Writer, _ *rig.Bed) error {
	packed, err := pointsPerSecond(ctx, &packer{points: 8 << 20, batch: 4096})
	if err != nil {
		return err
	}
	single, err := pointsPerSecond(ctx, &packer{points: 1 << 19, batch: 1})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  batches of 4096 points: %.1f M points/s; one point per message: %.2f M points/s: %.0f times (goal: 10)\n", packed/1e6, single/1e6, packed/single)
	return nil
}

func pointsPerSecond(ctx context.Context, p *packer) (float64, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	server := grpc.NewServer()
	runicornapiv1.RegisterMetricServiceServer(server, p)
	go func() { _ = server.Serve(listener) }() // ends with Stop
	defer server.Stop()
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	start := time.Now()
	s, err := runicornapiv1.NewMetricServiceClient(conn).StreamMetrics(ctx, &runicornapiv1.StreamMetricsRequest{})
	if err != nil {
		return 0, err
	}
	err = rig.Drain(s)
	return float64(p.points) / time.Since(start).Seconds(), err
}
