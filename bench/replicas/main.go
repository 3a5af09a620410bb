//go:build unix

// Command replicas measures several replicas behind HAProxy, with the shipped
// configuration, in front of a real Viewer: the number of their requests, and how long
// tails are interrupted when a replica ends, dies or freezes, or HAProxy is restarted.
// Run it from the root of the repository; HAProxy must be installed:
//
//	go run ./bench/replicas [-time 10s]
//
// It prints replicas × failure × (requests per second, gap, wrong points), and fails if a
// point is wrong. It takes two minutes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/runicorn-grpc/runicorn-grpc/bench/rig"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/replicatest"
)

const (
	tails = 90
	runs  = 6
)

// flags of the replicas. They may use all of the Viewer's time; otherwise the share would
// limit the requests of one replica but not those of three.
var flags = []string{"--viewer-share=1"}

var window = flag.Duration("time", 10*time.Second, "how long requests are counted, and tails watched after a failure")

// trial is one row of the table.
type trial struct {
	replicas int
	name     string
	spread   bool // the tails are distributed over the replicas, without HAProxy
	fail     func(ctx context.Context, c *replicatest.Cluster, busy *replicatest.Replica) error
}

var trials = []trial{
	{1, "none", false, nothing},
	{3, "none, without HAProxy", true, nothing},
	{3, "none", false, nothing},
	{3, "rolling SIGTERM", false, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return each(ctx, c, (*replicatest.Replica).Stop)
	}},
	{3, "kill -9 of each", false, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return each(ctx, c, (*replicatest.Replica).Kill)
	}},
	{3, "restart of HAProxy", false, func(ctx context.Context, c *replicatest.Cluster, _ *replicatest.Replica) error {
		return c.RestartHAProxy(ctx)
	}},
	{3, "a frozen replica", false, func(ctx context.Context, c *replicatest.Cluster, busy *replicatest.Replica) error {
		return errors.Join(busy.Freeze(), c.Pause(ctx, 5*replicatest.Heartbeat), busy.Thaw())
	}},
}

func nothing(context.Context, *replicatest.Cluster, *replicatest.Replica) error { return nil }

// each ends one replica after the other, and restarts it.
func each(ctx context.Context, c *replicatest.Cluster, end func(*replicatest.Replica) error) error {
	for _, r := range c.Replicas {
		if err := errors.Join(end(r), r.Restart(ctx), c.Pause(ctx, 2*time.Second)); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	flag.Parse()
	rig.Main("replicas", measure)
}

func measure(ctx context.Context, out io.Writer, b *rig.Bed) (err error) {
	install, err := realviewer.Find(realviewer.V072)
	if err != nil {
		return err
	}
	r, err := replicatest.StartRuns(ctx, install, runs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	fmt.Fprintf(out, "%d tails of %d runs that grow by 10 lines a second, heartbeats every %v\n\n", tails, runs, replicatest.Heartbeat)
	fmt.Fprintf(out, "replicas  failure                 requests/s  of one  gap p50  gap p99  resumes  wrong points\n")
	var one float64
	wrong := 0
	for _, t := range trials {
		row, err := t.run(ctx, b, r)
		if err != nil {
			return fmt.Errorf("%d replicas, %s: %w", t.replicas, t.name, err)
		}
		if t.replicas == 1 {
			one = row.rate
		}
		wrong += row.wrong
		fmt.Fprintf(out, "%8d  %-22s  %10.1f  %6.2f  %7v  %7v  %7d  %12d\n", t.replicas, t.name, row.rate, row.rate/one,
			rig.Quantile(row.gaps, 0.5).Round(10*time.Millisecond), rig.Quantile(row.gaps, 0.99).Round(10*time.Millisecond), row.resumes, row.wrong)
	}
	if wrong > 0 {
		return fmt.Errorf("%d points are wrong", wrong)
	}
	return nil
}

// row is the result of a trial.
type row struct {
	rate           float64 // requests to the Viewer per second, from before the failure to after it
	gaps           []time.Duration
	resumes, wrong int
}

func (t trial) run(ctx context.Context, b *rig.Bed, r *replicatest.Runs) (_ row, err error) {
	c, err := replicatest.Start(ctx, replicatest.Config{Binary: b.Binary(), Source: ".", ViewerURL: r.Viewer.URL(), Replicas: t.replicas, Flags: flags})
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	dial := c.Dial
	if t.spread {
		next := 0
		dial = func() (*grpc.ClientConn, error) {
			next++
			return grpc.NewClient(c.Replicas[next%len(c.Replicas)].GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		}
	}
	growing, stop := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() { err = errors.Join(err, r.Grow(growing)) })
	defer func() { stop(); writing.Wait() }()
	crowd, err := replicatest.Collect(ctx, dial, r.Runs, tails)
	if err != nil {
		return row{}, err
	}
	if err := errors.Join(crowd.AwaitPoints(ctx, 10), c.Pause(ctx, *window/2)); err != nil {
		return row{}, errors.Join(err, crowd.Close())
	}
	for _, tail := range crowd.Tails {
		tail.TakeGap()
	}
	before, start := c.Requests(), time.Now()
	if err := errors.Join(t.fail(ctx, c, c.Pollers(r.Runs[0].RunID)[0]), c.Pause(ctx, *window)); err != nil {
		return row{}, errors.Join(err, crowd.Close())
	}
	found := row{rate: float64(c.Requests()-before) / time.Since(start).Seconds(), resumes: crowd.Resumes()}
	for _, tail := range crowd.Tails {
		found.gaps = append(found.gaps, tail.TakeGap())
	}
	stop()
	writing.Wait()
	found.wrong, err = crowd.Settle(ctx, r.Runs)
	return found, err
}
