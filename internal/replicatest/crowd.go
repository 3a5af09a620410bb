//go:build unix

package replicatest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	// crowdConns is the number of connections that the tails of a crowd share.
	crowdConns = 10
	// settleLimit is the maximum wait for points, far more than they need.
	settleLimit = time.Minute
	// settleInterval is how often the tails are checked during the wait.
	settleInterval = 20 * time.Millisecond
)

// Crowd is many concurrent tails.
type Crowd struct {
	Tails []*Tail

	conns  []*grpc.ClientConn
	cancel context.CancelFunc
	all    sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

// Collect opens the same number of tails for each run, on a few connections that dial
// returns. The caller must call Settle or Close.
func Collect(ctx context.Context, dial func() (*grpc.ClientConn, error), runs []realviewer.Run, tails int) (*Crowd, error) {
	c := &Crowd{}
	ctx, c.cancel = context.WithCancel(ctx)
	for range crowdConns {
		conn, err := dial()
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.conns = append(c.conns, conn)
	}
	for i := range tails {
		tail := &Tail{RunID: runs[i%len(runs)].RunID, Metric: Metric}
		client := runicornapiv1.NewMetricServiceClient(c.conns[i/len(runs)%crowdConns])
		c.Tails = append(c.Tails, tail)
		c.all.Go(func() {
			if err := tail.Follow(ctx, client); err != nil && ctx.Err() == nil {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.errs = append(c.errs, err)
			}
		})
	}
	return c, nil
}

// AwaitPoints waits until each tail has at least this number of points.
func (c *Crowd) AwaitPoints(ctx context.Context, points int) error {
	return c.await(ctx, func(*Tail) int { return points })
}

// Settle waits until each tail has all points of its event file, and one heartbeat longer
// to detect duplicates. It ends the tails and returns the number of wrong points.
func (c *Crowd) Settle(ctx context.Context, runs []realviewer.Run) (wrong int, err error) {
	logs := map[string]*realviewer.Log{}
	for _, run := range runs {
		if logs[run.RunID], err = realviewer.ReadLog(run.EventFile); err != nil {
			return 0, errors.Join(err, c.Close())
		}
	}
	err = c.await(ctx, func(t *Tail) int { return len(logs[t.RunID].Points(t.Metric, realviewer.KindNumber)) })
	if err == nil {
		select {
		case <-time.After(Heartbeat):
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err := errors.Join(err, c.Close()); err != nil {
		return 0, err
	}
	for _, t := range c.Tails {
		wrong += t.Wrong(logs[t.RunID])
	}
	return wrong, nil
}

func (c *Crowd) await(ctx context.Context, want func(*Tail) int) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	for _, t := range c.Tails {
		for points := want(t); t.Points() < points; {
			select {
			case <-time.After(settleInterval):
			case <-ctx.Done():
				return fmt.Errorf("a tail of %s has %d points of %d: %w", t.RunID, t.Points(), points, ctx.Err())
			}
		}
	}
	return nil
}

// Resumes returns how often tails have resumed.
func (c *Crowd) Resumes() (n int) {
	for _, t := range c.Tails {
		n += t.Resumes()
	}
	return n
}

// Close ends the tails, and returns the errors of those that ended before.
func (c *Crowd) Close() error {
	c.cancel()
	c.all.Wait()
	for _, conn := range c.conns {
		c.errs = append(c.errs, conn.Close())
	}
	c.conns = nil
	return errors.Join(c.errs...)
}
