package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
)

// crowd is many tails of one run, and when each step came to the first and to
// the last of them.
type crowd struct {
	tails  int
	conns  []*grpc.ClientConn
	cancel context.CancelFunc
	all    sync.WaitGroup
	live   chan struct{} // gets one element from each tail that has caught up

	mu    sync.Mutex
	steps map[int64]*arrival
	err   error
}

// arrival is one step's way to the crowd.
type arrival struct {
	logged      float64
	first, last time.Time
	count       int
}

// gather opens tails of a run on some connections and waits until all of them
// have caught up.
func gather(ctx context.Context, addr, runID string, tails, conns int) (*crowd, error) {
	c := &crowd{tails: tails, live: make(chan struct{}, tails), steps: make(map[int64]*arrival)}
	ctx, c.cancel = context.WithCancel(ctx)
	for range conns {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.conns = append(c.conns, conn)
	}
	for i := range tails {
		client := runicornv1.NewMetricServiceClient(c.conns[i%conns])
		c.all.Go(func() { c.fail(c.tail(ctx, client, runID)) })
	}
	for range tails {
		select {
		case <-c.live:
		case <-time.After(2 * time.Minute):
			return nil, errors.Join(errors.New("not all tails caught up"), c.close(), c.err)
		}
	}
	return c, nil
}

func (c *crowd) tail(ctx context.Context, client runicornv1.MetricServiceClient, runID string) error {
	stream, err := client.TailMetrics(ctx, &runicornv1.TailMetricsRequest{RunIds: []string{runID}, Start: runicornv1.TailStart_TAIL_START_NOW})
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		switch {
		case status.Code(err) == codes.Canceled, errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case resp.GetCaughtUp() != nil:
			c.live <- struct{}{}
		}
		for _, s := range resp.GetBatch().GetSeries() {
			c.arrive(s)
		}
	}
}

func (c *crowd) arrive(s *runicornv1.MetricSeries) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, step := range s.GetSteps() {
		a := c.steps[step]
		if a == nil {
			a = &arrival{first: now, logged: s.GetTimes()[i]}
			c.steps[step] = a
		}
		a.last = now
		a.count++
	}
}

func (c *crowd) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = errors.Join(c.err, err)
}

// close ends all tails.
func (c *crowd) close() error {
	c.cancel()
	c.all.Wait()
	for _, conn := range c.conns {
		c.err = errors.Join(c.err, conn.Close())
	}
	return c.err
}

// check wants every step from first on at every tail, once.
func (c *crowd) check(first, n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for step := first; step < first+n; step++ {
		if a := c.steps[int64(step)]; a == nil || a.count != c.tails {
			return fmt.Errorf("step %d: %+v, want it %d times", step, a, c.tails)
		}
	}
	return nil
}

// spreads are the times from the first to the last tail of each step, and
// ages those from its writing to the last one.
func (c *crowd) spreads() (spreads, ages []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.steps {
		spreads = append(spreads, a.last.Sub(a.first))
		ages = append(ages, a.last.Sub(time.Unix(0, int64(a.logged*1e9))))
	}
	return spreads, ages
}
