package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// crowd is many tails of one run, with the times at which the first and the last of them
// received each step.
type crowd struct {
	tails  int
	conns  []*grpc.ClientConn
	cancel context.CancelFunc
	all    sync.WaitGroup
	live   chan struct{} // gets one element from each tail that has caught up
	// moved is the number of tails that a draining server has ended, and that resumed at
	// another one.
	moved atomic.Int64

	mu    sync.Mutex
	steps map[int64]*arrival
	err   error
}

// arrival is when the crowd received one step.
type arrival struct {
	logged      float64
	first, last time.Time
	count       int
}

// crowdToken is the token of all clients of a crowd, where the server wants one.
const crowdToken = "a-token-of-the-whole-crowd"

// collect opens tails of a run on some connections to a server and waits until all of
// them have caught up. When the server drains, they resume at the next one.
func collect(ctx context.Context, addrs []string, runID string, tails, conns int) (*crowd, error) {
	c := &crowd{tails: tails, live: make(chan struct{}, tails), steps: make(map[int64]*arrival)}
	ctx, c.cancel = context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+crowdToken))
	clients := make([][]runicornapiv1.MetricServiceClient, conns)
	for i := range clients {
		for _, addr := range addrs {
			conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
			if err != nil {
				return nil, errors.Join(err, c.close())
			}
			c.conns = append(c.conns, conn)
			clients[i] = append(clients[i], runicornapiv1.NewMetricServiceClient(conn))
		}
	}
	for i := range tails {
		c.all.Go(func() { c.fail(c.tail(ctx, clients[i%conns], runID)) })
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

// tail follows the run at the first server, and at the next one whenever a server drains.
func (c *crowd) tail(ctx context.Context, clients []runicornapiv1.MetricServiceClient, runID string) error {
	req := &runicornapiv1.TailMetricsRequest{RunIds: []string{runID}, Start: runicornapiv1.TailStart_TAIL_START_NOW}
	for i, client := range clients {
		isLive := func() {}
		if i == 0 {
			isLive = func() { c.live <- struct{}{} }
		}
		err := c.connect(ctx, client, req, isLive)
		switch {
		case status.Code(err) == codes.Canceled, errors.Is(err, io.EOF):
			return nil
		case i == len(clients)-1 || !isDraining(err):
			return err
		}
		req = &runicornapiv1.TailMetricsRequest{RunIds: req.GetRunIds(), ResumeToken: req.GetResumeToken()}
		c.moved.Add(1)
	}
	return nil
}

// connect follows the run at one server, and stores the token in the request.
func (c *crowd) connect(ctx context.Context, client runicornapiv1.MetricServiceClient, req *runicornapiv1.TailMetricsRequest, isLive func()) error {
	stream, err := client.TailMetrics(ctx, req, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		resp, err := stream.Recv()
		if err != nil {
			return err
		}
		req.ResumeToken = resp.GetResumeToken()
		if resp.GetCaughtUp() != nil {
			isLive()
		}
		for _, s := range resp.GetBatch().GetSeries() {
			c.record(s)
		}
	}
}

// isDraining reports whether a server has ended the tail because it drains.
func isDraining(err error) bool {
	return status.Code(err) == codes.Unavailable && apierr.ReasonOf(status.Convert(err)) == "SERVER_DRAINING"
}

func (c *crowd) record(s *runicornapiv1.MetricSeries) {
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

// check returns an error unless every tail has received every step from first on exactly
// once.
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

// spreads returns for each step the time from the first to the last tail, and ages the
// time from its writing to the last one.
func (c *crowd) spreads() (spreads, ages []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.steps {
		spreads = append(spreads, a.last.Sub(a.first))
		ages = append(ages, a.last.Sub(time.Unix(0, int64(a.logged*1e9))))
	}
	return spreads, ages
}
