package httpapi

import (
	"bufio"
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type tailStream = grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]

// story is one message of each case, as one tail could send them.
func story() []*runicornapiv1.TailMetricsResponse {
	msg := func(token string) *runicornapiv1.TailMetricsResponse {
		return &runicornapiv1.TailMetricsResponse{ResumeToken: token, Viewer: "main", RunId: "20250131_120000_abc123"}
	}
	var all []*runicornapiv1.TailMetricsResponse
	for i := range 6 {
		all = append(all, msg("token-"+string(rune('1'+i))))
	}
	all[0].Event = &runicornapiv1.TailMetricsResponse_Heartbeat{Heartbeat: &runicornapiv1.Heartbeat{
		LastSuccessTime: &timestamppb.Timestamp{Seconds: 1738324800, Nanos: 5e8}, UpstreamState: runicornapiv1.UpstreamState_UPSTREAM_STATE_OK,
		PollInterval: durationpb.New(1500 * time.Millisecond),
	}}
	all[1].Event = &runicornapiv1.TailMetricsResponse_Batch{Batch: &runicornapiv1.MetricBatch{
		Fidelity: runicornapiv1.Fidelity_FIDELITY_EVENT_LOG,
		Series: []*runicornapiv1.MetricSeries{
			{
				MetricName: "val/loss \u2028\n<b>", Kind: runicornapiv1.MetricKind_METRIC_KIND_NUMBER,
				Steps: []int64{-1, 0, 1, math.MaxInt64}, Times: []float64{1738324800.25, 1, 2, 3},
				Values:    []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1 << 60},
				Exact:     []*runicornapiv1.ExactInteger{{Index: 3, Decimal: "1152921504606846977"}},
				Positions: []int64{0, 80, 160, math.MaxInt64},
			},
			{MetricName: "stage", Kind: runicornapiv1.MetricKind_METRIC_KIND_TEXT, Steps: []int64{0}, Times: []float64{0}, Texts: []string{"wärm\r\nup"}},
		},
	}}
	all[2].Event = &runicornapiv1.TailMetricsResponse_CaughtUp{CaughtUp: &runicornapiv1.CaughtUp{}}
	all[3].Event = &runicornapiv1.TailMetricsResponse_LogReset{LogReset: &runicornapiv1.LogReset{Reason: runicornapiv1.LogResetReason_LOG_RESET_REASON_REPLACED}}
	all[4].Event = &runicornapiv1.TailMetricsResponse_StatusChange{StatusChange: &runicornapiv1.StatusChange{Status: runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED, ViewerStatus: "failed"}}
	all[5].Event = &runicornapiv1.TailMetricsResponse_End{End: &runicornapiv1.TailEnd{Reason: runicornapiv1.EndReason_END_REASON_FAILED, ViewerStatus: "failed"}}
	return all
}

// respondWith returns a backend whose tails send messages and then end with err.
func respondWith(err error, messages ...*runicornapiv1.TailMetricsResponse) *backend {
	b := &backend{}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		for _, m := range messages {
			if err := stream.Send(m); err != nil {
				return err
			}
		}
		return err
	}
	return b
}

// tidy indents the JSON of a stream, for protojson varies its spaces.
func tidy(t *testing.T, stream string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(stream) {
		data, isData := strings.CutPrefix(line, "data: ")
		switch {
		case isData:
			out.WriteString("data: " + indented(t, data))
		case strings.HasPrefix(line, "{"):
			out.WriteString(indented(t, line))
		default:
			out.WriteString(line)
		}
	}
	return out.String()
}

var (
	tailPath   = "/v1/metrics:tail?run_ids=r1"
	asEvents   = map[string]string{"Accept": mediaEvents}
	reconnects = map[string]string{"Accept": mediaEvents, "Last-Event-ID": "token-6"}
)

func TestStream_Forms(t *testing.T) {
	t.Parallel()
	cut := statusError(t, codes.Unavailable, "SERVER_DRAINING", &errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	for name, tt := range map[string]struct {
		header      map[string]string
		contentType string
		err         error
	}{
		"lines.txt":        {nil, "application/x-ndjson", nil},
		"lines_cut.txt":    {nil, "application/x-ndjson", cut},
		"events.txt":       {asEvents, "text/event-stream", nil},
		"events_cut.txt":   {asEvents, "text/event-stream", cut},
		"events_again.txt": {reconnects, "text/event-stream", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t, respondWith(tt.err, story()...))
			got := do(t, srv, request{path: tailPath, header: tt.header})
			if got.status != http.StatusOK || got.header.Get("Content-Type") != tt.contentType {
				t.Errorf("%d %s, want 200 %s", got.status, got.header.Get("Content-Type"), tt.contentType)
			}
			if got.header.Get("X-Accel-Buffering") != "no" || got.header.Get("Cache-Control") != "no-store" {
				t.Errorf("a proxy may keep the stream back: %v", got.header)
			}
			golden(t, name, tidy(t, got.body))
		})
	}
}

// TestStream_Reconnects: EventSource stops only for a 204.
func TestStream_Reconnects(t *testing.T) {
	t.Parallel()
	all := story()
	heartbeat, end := all[0], all[5]
	cut := statusError(t, codes.Unavailable, "SERVER_DRAINING")
	for name, tt := range map[string]struct {
		b      *backend
		header map[string]string
		status int
		events string // the names, in order
	}{
		"behind the end there is nothing":              {respondWith(nil, end, end), reconnects, 204, ""},
		"a stream without any message is over as well": {respondWith(nil), reconnects, 204, ""},
		"a first connection gets the end":              {respondWith(nil, end), asEvents, 200, "end"},
		"a run that was reopened continues":            {respondWith(nil, heartbeat, end), reconnects, 200, "heartbeat end"},
		"one of several runs continues":                {respondWith(nil, end, heartbeat, end), reconnects, 200, "end heartbeat end"},
		"an error is sent, not mistaken for the end":   {respondWith(cut, end), reconnects, 200, "end status"},
		"an error at once is an answer of its own":     {respondWith(cut), reconnects, 503, ""},
		"lines are no browser's":                       {respondWith(nil, end), map[string]string{"Last-Event-ID": "token-6"}, 200, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := do(t, serve(t, tt.b), request{path: tailPath, header: tt.header})
			var names []string
			for line := range strings.Lines(got.body) {
				if name, ok := strings.CutPrefix(line, "event: "); ok {
					names = append(names, strings.TrimSpace(name))
				}
			}
			if events := strings.Join(names, " "); got.status != tt.status || events != tt.events {
				t.Errorf("%d %q, want %d %q", got.status, events, tt.status, tt.events)
			}
		})
	}
}

func TestStream_LastEventIDTakesPrecedence(t *testing.T) {
	t.Parallel()
	b := respondWith(nil, story()[0])
	srv := serve(t, b)
	for name, in := range map[string]request{
		"over the first URL":      {path: tailPath + "&start=TAIL_START_NOW&resumeToken=old&resume_token=older", header: reconnects},
		"over the body of a POST": {method: "POST", path: "/v1/metrics:tail", body: `{"run_ids":["r1"],"start":"TAIL_START_NOW","resume_token":"old"}`, header: map[string]string{"Content-Type": "application/json", "Last-Event-ID": "token-6"}},
	} {
		t.Run(name, func(t *testing.T) {
			do(t, srv, in)
			calls := b.seen()
			if len(calls) != 1 {
				t.Fatalf("%d calls", len(calls))
			}
			req, ok := calls[0].req.(*runicornapiv1.TailMetricsRequest)
			if !ok || req.GetResumeToken() != "token-6" || req.GetStart() != 0 || len(req.GetRunIds()) != 1 {
				t.Errorf("the server was asked %v", calls[0].req)
			}
		})
	}
}

// TestStream_IsLive: each message arrives before the next one is made, and
// the server's method ends when the client goes away.
func TestStream_IsLive(t *testing.T) {
	t.Parallel()
	next, ended := make(chan struct{}), make(chan error, 1)
	b := &backend{}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		for _, m := range story()[:2] {
			if err := stream.Send(m); err != nil {
				return err
			}
			select {
			case <-next:
			case <-stream.Context().Done():
			}
		}
		<-stream.Context().Done()
		ended <- context.Cause(stream.Context())
		return stream.Context().Err()
	}
	for name, header := range map[string]map[string]string{"lines": nil, "events": asEvents} {
		t.Run(name, func(t *testing.T) {
			resp := open(t, serve(t, b), request{path: tailPath, header: header})
			body := bufio.NewReader(resp.Body)
			for range 2 {
				for {
					line, err := body.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(line, `"viewer"`) {
						break
					}
				}
				next <- struct{}{}
			}
			if err := resp.Body.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err == nil {
				t.Error("the method ended without its context being done")
			}
		})
	}
}

// stuck is a client that does not read: the first write returns only when the client has
// disconnected.
type stuck struct {
	http.ResponseWriter
	gone <-chan struct{}
}

func (s stuck) Write([]byte) (int, error) {
	<-s.gone
	return 0, io.ErrClosedPipe
}

func (stuck) Flush() {}

// TestStream_SlowReader: a client that does not read stops the method, whose
// messages pile up nowhere; and when it goes away, the method ends.
func TestStream_SlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sent, ended := 0, make(chan struct{})
		b := &backend{}
		b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
			defer close(ended)
			for {
				if err := stream.Send(&runicornapiv1.TailMetricsResponse{ResumeToken: strings.Repeat("x", 64<<10)}); err != nil {
					return err
				}
				sent++
			}
		}
		h, err := New(t.Context(), Config{Conn: b.dial(t), Health: b.health, OpenAPI: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		req := httptest.NewRequestWithContext(ctx, http.MethodGet, tailPath, nil)
		req.Host = "localhost"
		var served sync.WaitGroup
		served.Go(func() { h.ServeHTTP(stuck{httptest.NewRecorder(), ctx.Done()}, req) })
		synctest.Wait() // everybody waits for somebody
		if sent == 0 || sent > 64 {
			t.Errorf("%d messages of 64 KiB were sent to a client that reads none", sent)
		}
		cancel()
		served.Wait()
		<-ended
	})
}

func TestStream_Bound(t *testing.T) {
	t.Parallel()
	started := make(chan struct{})
	b := &backend{}
	b.tail = func(_ *runicornapiv1.TailMetricsRequest, stream tailStream) error {
		started <- struct{}{}
		<-stream.Context().Done()
		return nil
	}
	srv := serve(t, b, func(c *Config) { c.Conn = NewConn(c.Conn, 1, 1) })
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+tailPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if resp, err := srv.Client().Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}()
	<-started
	got := do(t, srv, request{path: tailPath})
	if e := errorOf(t, got); got.status != http.StatusTooManyRequests || e.Reason != "SERVER_LIMIT" || got.header.Get("Retry-After") != "5" {
		t.Errorf("%d %s, Retry-After %q", got.status, e.Reason, got.header.Get("Retry-After"))
	}
	cancel()
	<-gone
}
