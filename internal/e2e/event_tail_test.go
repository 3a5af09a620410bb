package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// eventTail is a client of TailMetrics that stores points and token together, and the
// names of all events except heartbeats.
type eventTail struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse]
	cancel context.CancelFunc
	token  string
	filter string              // sent again with the token, which holds only its hash
	points map[string][]string // by run: "loss 3 = 0.5", in the order of delivery
	events []string            // "20260101_000000_abcdef end FINISHED"
}

// tail begins a tail.
func (l *trainLab) tail(t *testing.T, s *server, req *runicornapiv1.TailMetricsRequest) *eventTail {
	t.Helper()
	c := &eventTail{t: t, filter: req.GetFilter(), points: map[string][]string{}}
	c.connect(s, req)
	return c
}

// resume resumes after the last token.
func (c *eventTail) resume(s *server) {
	c.t.Helper()
	c.connect(s, &runicornapiv1.TailMetricsRequest{ResumeToken: c.token, Filter: c.filter})
}

func (c *eventTail) connect(s *server, req *runicornapiv1.TailMetricsRequest) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	c.t.Cleanup(cancel)
	stream, err := s.metrics.TailMetrics(ctx, req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.stream, c.cancel = stream, cancel
}

func (c *eventTail) recv() error {
	m, err := c.stream.Recv()
	if err != nil {
		return err
	}
	c.token = m.GetResumeToken()
	switch e := m.GetEvent().(type) {
	case *runicornapiv1.TailMetricsResponse_CaughtUp:
		c.note(m, "caught_up")
	case *runicornapiv1.TailMetricsResponse_LogReset:
		c.points[m.GetRunId()] = nil
		c.note(m, strings.TrimPrefix(e.LogReset.GetReason().String(), "LOG_RESET_REASON_"))
	case *runicornapiv1.TailMetricsResponse_StatusChange:
		c.note(m, strings.TrimPrefix(e.StatusChange.GetStatus().String(), "EXPERIMENT_STATUS_"))
	case *runicornapiv1.TailMetricsResponse_End:
		c.note(m, "end "+strings.TrimPrefix(e.End.GetReason().String(), "END_REASON_"))
	case *runicornapiv1.TailMetricsResponse_Batch:
		for _, s := range e.Batch.GetSeries() {
			for i, step := range s.GetSteps() {
				if len(s.GetValues()) > 0 {
					c.points[m.GetRunId()] = append(c.points[m.GetRunId()], fmt.Sprintf("%s %d = %v", s.GetMetricName(), step, s.GetValues()[i]))
				}
			}
		}
	}
	return nil
}

func (c *eventTail) note(m *runicornapiv1.TailMetricsResponse, event string) {
	c.events = append(c.events, m.GetRunId()+" "+event)
}

// until receives until a condition is true.
func (c *eventTail) until(what string, isIt func() bool) {
	c.t.Helper()
	for !isIt() {
		if err := c.recv(); err != nil {
			c.t.Fatalf("waiting for %s: %v, after events %q and points %q", what, err, c.events, c.points)
		}
	}
}

// untilEvent receives until an event of a run was received, possibly before the call.
func (c *eventTail) untilEvent(runID, event string) {
	c.t.Helper()
	c.until(event, func() bool { return c.has(runID, event) })
}

func (c *eventTail) has(runID, event string) bool { return slices.Contains(c.events, runID+" "+event) }

// untilPoints receives until a run has so many points.
func (c *eventTail) untilPoints(runID string, n int) {
	c.t.Helper()
	c.until(fmt.Sprintf("%d points", n), func() bool { return len(c.points[runID]) >= n })
}

// finish receives to the end of the stream, and wants it to end well.
func (c *eventTail) finish() {
	c.t.Helper()
	err := error(nil)
	for err == nil {
		err = c.recv()
	}
	if !errors.Is(err, io.EOF) {
		c.t.Fatalf("the stream ended with %v, after %q", err, c.events)
	}
}

// wantPoints compares the points of a run with "loss 1 = 1", "loss 2 = 2" and so
// on for the given steps.
func (c *eventTail) wantPoints(runID string, steps ...int) {
	c.t.Helper()
	want := make([]string, 0, len(steps))
	for _, step := range steps {
		want = append(want, fmt.Sprintf("loss %d = %d", step, step))
	}
	if !slices.Equal(c.points[runID], want) {
		c.t.Errorf("points %q, want %q; events %q", c.points[runID], want, c.events)
	}
}
