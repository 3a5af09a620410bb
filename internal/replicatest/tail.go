//go:build unix

package replicatest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

const (
	// Heartbeat is the heartbeat interval that tails request.
	Heartbeat = time.Second
	// resumePause is the delay before a tail resumes, so that it does not call a draining
	// replica in a loop until HAProxy has noticed.
	resumePause = 25 * time.Millisecond
)

// Tail follows one metric of one run like a client that stores points and token together.
// It resumes when the stream breaks, or is silent for two heartbeats.
type Tail struct {
	RunID  string
	Metric string

	mu      sync.Mutex
	token   string
	points  []point
	last    time.Time // of the last points
	gap     time.Duration
	resumes int
}

// point is the offset of a point's line in the event file, and its content.
type point struct {
	position, step int64
	value          float64
}

// Follow tails until the context ends, and returns its error, or an error that resuming
// cannot fix.
func (t *Tail) Follow(ctx context.Context, client runicornapiv1.MetricServiceClient) error {
	for {
		err := t.follow(ctx, client)
		if ctx.Err() != nil || errors.Is(err, errReset) {
			return fmt.Errorf("tail %s: %w", t.RunID, err)
		}
		t.mu.Lock()
		t.resumes++
		t.mu.Unlock()
		select {
		case <-time.After(resumePause):
		case <-ctx.Done():
		}
	}
}

var errReset = errors.New("the log was reset")

// follow reads one stream.
func (t *Tail) follow(ctx context.Context, client runicornapiv1.MetricServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silent := time.AfterFunc(2*Heartbeat, cancel)
	defer silent.Stop()
	stream, err := client.TailMetrics(ctx, &runicornapiv1.TailMetricsRequest{
		RunIds: []string{t.RunID}, MetricNames: []string{t.Metric}, Positions: true, ResumeToken: t.token,
		HeartbeatInterval: durationpb.New(Heartbeat), Until: runicornapiv1.TailUntil_TAIL_UNTIL_FOREVER,
	}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		m, err := stream.Recv()
		if err != nil {
			return err // io.EOF too: the run has not ended
		}
		if m.GetLogReset() != nil {
			return fmt.Errorf("%w: %v", errReset, m.GetLogReset().GetReason())
		}
		silent.Reset(2 * Heartbeat)
		t.store(m)
	}
}

// store keeps the points and the token of a message.
func (t *Tail) store(m *runicornapiv1.TailMetricsResponse) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = m.GetResumeToken()
	for _, s := range m.GetBatch().GetSeries() {
		for i, step := range s.GetSteps() {
			t.points = append(t.points, point{s.GetPositions()[i], step, s.GetValues()[i]})
		}
	}
	if m.GetBatch() == nil {
		return
	}
	now := time.Now()
	if !t.last.IsZero() {
		t.gap = max(t.gap, now.Sub(t.last))
	}
	t.last = now
}

// Points returns the number of received points.
func (t *Tail) Points() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.points)
}

// TakeGap returns the longest time between two messages with points since the last
// call, the time since the last one included.
func (t *Tail) TakeGap() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	gap := t.gap
	if !t.last.IsZero() {
		gap = max(gap, time.Since(t.last))
	}
	t.gap = 0
	return gap
}

// Resumes returns how often the stream was resumed.
func (t *Tail) Resumes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.resumes
}

// Wrong returns the number of differences between the tail and the event file: points
// that are missing, duplicate, out of order or different.
func (t *Tail) Wrong(log *realviewer.Log) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	var want []point
	for _, p := range log.Points(t.Metric, realviewer.KindNumber) {
		want = append(want, point{p.Offset, p.Step, p.Value.Number})
	}
	wrong := 0
	if !slices.IsSortedFunc(t.points, func(a, b point) int { return int(a.position - b.position) }) {
		wrong++
	}
	left := map[point]int{}
	for _, p := range want {
		left[p]++
	}
	for _, p := range t.points {
		left[p]--
	}
	for _, n := range left {
		wrong += max(n, -n)
	}
	return wrong
}
