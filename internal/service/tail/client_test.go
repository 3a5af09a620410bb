package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
)

// tailTimeout ends a stream that hangs.
const tailTimeout = 10 * time.Minute

// tailClient is a client that stores points and token together, as the contract requires:
// a token covers everything that was received before it.
type tailClient struct {
	tb     testing.TB
	stream grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse]
	cancel context.CancelFunc
	req    *runicornapiv1.TailMetricsRequest

	token  string
	points map[string][]string // by run, in the order of delivery
	events []string            // messages other than batches and heartbeats
	last   *runicornapiv1.TailMetricsResponse
}

func newTailClient(tb testing.TB, req *runicornapiv1.TailMetricsRequest) *tailClient {
	tb.Helper()
	return &tailClient{tb: tb, req: req, points: map[string][]string{}}
}

// startTail connects a new client.
func startTail(tb testing.TB, h *servicetest.Harness, req *runicornapiv1.TailMetricsRequest) *tailClient {
	tb.Helper()
	c := newTailClient(tb, req)
	c.connect(h)
	return c
}

// connect begins, or resumes after the last token.
func (c *tailClient) connect(h *servicetest.Harness, options ...grpc.CallOption) {
	c.tb.Helper()
	c.drop()
	req := c.req
	if c.token != "" {
		req = &runicornapiv1.TailMetricsRequest{
			ResumeToken: c.token, Filter: c.req.GetFilter(), MetricNames: c.req.GetMetricNames(), Positions: c.req.GetPositions(),
			HistoryDownsample: c.req.GetHistoryDownsample(), Until: c.req.GetUntil(), HeartbeatInterval: c.req.GetHeartbeatInterval(),
		}
	}
	ctx, cancel := context.WithTimeout(c.tb.Context(), tailTimeout)
	c.tb.Cleanup(cancel)
	c.cancel = cancel
	stream, err := h.Metrics.TailMetrics(ctx, req, options...)
	if err != nil {
		c.tb.Fatal(err)
	}
	c.stream = stream
}

// drop breaks the connection.
func (c *tailClient) drop() {
	if c.cancel != nil {
		c.cancel()
	}
}

// recv receives one message and stores its content.
func (c *tailClient) recv() (*runicornapiv1.TailMetricsResponse, error) {
	m, err := c.stream.Recv()
	if err != nil {
		return nil, err
	}
	c.token, c.last = m.GetResumeToken(), m
	switch e := m.GetEvent().(type) {
	case *runicornapiv1.TailMetricsResponse_Batch:
		c.points[m.GetRunId()] = append(c.points[m.GetRunId()], servicetest.PointTexts(e.Batch)...)
	case *runicornapiv1.TailMetricsResponse_Heartbeat:
	case *runicornapiv1.TailMetricsResponse_LogReset:
		delete(c.points, m.GetRunId())
		c.events = append(c.events, "reset "+strings.TrimPrefix(e.LogReset.GetReason().String(), "LOG_RESET_REASON_"))
	case *runicornapiv1.TailMetricsResponse_StatusChange:
		c.events = append(c.events, "state "+e.StatusChange.GetViewerStatus())
	case *runicornapiv1.TailMetricsResponse_End:
		c.events = append(c.events, "end "+strings.TrimPrefix(e.End.GetReason().String(), "END_REASON_"))
	case *runicornapiv1.TailMetricsResponse_CaughtUp:
		c.events = append(c.events, "caught_up")
	}
	return m, nil
}

// until receives up to the first message for which isIt holds.
func (c *tailClient) until(isIt func(*runicornapiv1.TailMetricsResponse) bool) *runicornapiv1.TailMetricsResponse {
	c.tb.Helper()
	for {
		m, err := c.recv()
		if err != nil {
			c.tb.Fatalf("the stream ended by %v; before that: %q", err, c.events)
		}
		if isIt(m) {
			return m
		}
	}
}

// untilEvent receives up to an event of a name, such as "caught_up".
func (c *tailClient) untilEvent(name string) {
	c.tb.Helper()
	n := len(c.events)
	c.until(func(*runicornapiv1.TailMetricsResponse) bool { return slices.Contains(c.events[n:], name) })
}

// untilPoints receives until a run has so many points.
func (c *tailClient) untilPoints(runID string, n int) {
	c.tb.Helper()
	for len(c.points[runID]) < n {
		c.until(func(m *runicornapiv1.TailMetricsResponse) bool { return m.GetBatch() != nil })
	}
}

// rest receives to the end and returns its error, nil for OK.
func (c *tailClient) rest() error {
	for {
		if _, err := c.recv(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// want compares the points of a run with those that were logged, series by
// series: across series the order is that of positions.
func (c *tailClient) want(runID string, want []string) {
	c.tb.Helper()
	if diff := cmp.Diff(bySeries(want), bySeries(c.points[runID])); diff != "" {
		c.tb.Errorf("points (-logged +delivered):\n%.2000s", diff)
	}
}

// bySeries sorts points into their series, in their order.
func bySeries(points []string) map[string][]string {
	out := map[string][]string{}
	for _, p := range points {
		name, _, _ := strings.Cut(p, " ")
		out[name] = append(out[name], p)
	}
	return out
}

// trainer writes a wild log: late metrics, back-filled steps, rewrites, values
// that are not finite, texts, and lines that are no JSON.
type trainer struct {
	random  *rand.Rand
	log     []byte
	written int      // of the log, by write
	points  []string // content of the log, in the form of PointTexts
	step    int
}

func newTrainer(seed uint64) *trainer { return &trainer{random: rand.New(rand.NewPCG(seed, 1))} }

// line adds one line.
func (w *trainer) line() {
	w.step++
	step := w.step
	switch w.random.IntN(10) {
	case 0:
		step = w.random.IntN(w.step) // back-filled, or rewritten
	case 1:
		w.log = append(w.log, "{torn\n"...)
	}
	metrics := []string{"loss"}
	if w.step > 50 && w.random.IntN(3) == 0 {
		metrics = append(metrics, "late/acc")
	}
	offset, data := len(w.log), make([]string, 0, 3)
	at := float64(1000+w.step) + .5
	for _, name := range metrics {
		logged := fmt.Sprintf("%d.25", w.random.IntN(1000))
		if w.random.IntN(8) == 0 {
			logged = []string{"NaN", "Infinity", "-Infinity"}[w.random.IntN(3)]
		}
		value := strings.NewReplacer("-Infinity", "-Inf", "Infinity", "+Inf").Replace(logged)
		data = append(data, fmt.Sprintf("%q: %s", name, logged))
		w.points = append(w.points, fmt.Sprintf("%s %d %s at %v in %d", name, step, value, at, offset))
	}
	if w.random.IntN(5) == 0 {
		data = append(data, `"stage": "warmup"`)
		w.points = append(w.points, fmt.Sprintf("stage %d warmup at %v in %d", step, at, offset))
	}
	w.log = fmt.Appendf(w.log, `{"ts": %v, "type": "metrics", "data": {%s, "global_step": %d, "time": %v}}`+"\n", at, strings.Join(data, ", "), step, at)
}

// write appends what was added to a run, or a part that ends in half a line.
func (w *trainer) write(tb testing.TB, u *servicetest.Upstream, runID string, isHalf bool) {
	tb.Helper()
	to := len(w.log)
	if isHalf {
		to -= 1 + w.random.IntN(min(30, to-w.written-1))
	}
	if err := u.AppendEvents(runID, w.log[w.written:to]); err != nil {
		tb.Fatal(err)
	}
	w.written = to
}

// shortTimeoutHub stops waiting for a Viewer after a short time.
func shortTimeoutHub(tb testing.TB) *follow.Hub {
	tb.Helper()
	hub := follow.NewHub(follow.HubConfig{MinInterval: 10 * time.Millisecond, MaxInterval: 20 * time.Millisecond, UnreachableAfter: 200 * time.Millisecond, ClassifyError: source.ClassifyError})
	tb.Cleanup(hub.Close)
	return hub
}

// wantRetry checks that an error has RetryInfo.
func wantRetry(tb testing.TB, err error) {
	tb.Helper()
	if _, ok := apierrtest.DetailOf[*errdetails.RetryInfo](status.Convert(err)); !ok {
		tb.Errorf("no RetryInfo in %v", err)
	}
}
