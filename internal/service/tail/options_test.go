package tail

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// TestTail_Selections: streams with different options share one poller, and
// compression is each one's own.
func TestTail_Selections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
		for name, tt := range map[string]struct {
			req  *runicornapiv1.TailMetricsRequest
			want []string
		}{
			"by name":     {&runicornapiv1.TailMetricsRequest{MetricNames: []string{"stage"}}, []string{"stage 2 warmup at 1002.5", "stage 4 main at 1004.5"}},
			"by prefix":   {&runicornapiv1.TailMetricsRequest{MetricPrefixes: []string{"val/"}}, []string{"val/loss 3 7 at 1003.5"}},
			"by steps":    {&runicornapiv1.TailMetricsRequest{MinStep: new(int64(3)), MaxStep: new(int64(3))}, []string{"loss 3 -Inf at 1003.5", "ok 3 0 at 1003.5", "val/loss 3 7 at 1003.5"}},
			"of nothing":  {&runicornapiv1.TailMetricsRequest{MetricNames: []string{"none"}}, nil},
			"with places": {&runicornapiv1.TailMetricsRequest{MetricNames: []string{"ok"}, Positions: true}, []string{"ok 1 1 at 1001.5 in 0", fmt.Sprintf("ok 3 0 at 1003.5 in %d", strings.Index(servicetest.SampleEvents, `{"ts": 1003`))}},
		} {
			for _, options := range [][]grpc.CallOption{nil, {grpc.UseCompressor(gzip.Name)}} {
				step(t, name, func() {
					tt.req.RunIds = []string{id}
					c := newTailClient(t, tt.req)
					c.connect(h, options...)
					c.untilEvent("caught_up")
					c.want(id, tt.want)
				})
			}
		}
	})
}

// TestTail_FromNow: nothing of what was there.
func TestTail_FromNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, Start: runicornapiv1.TailStart_TAIL_START_NOW})
		c.untilEvent("caught_up")
		if err := u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
			t.Fatal(err)
		}
		c.untilPoints(id, 1)
		c.want(id, []string{"loss 2 2 at 1002.5"})
	})
}

// TestTail_Drain: all streams end, and resume on another server with their tokens.
func TestTail_Drain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		begins := make(chan struct{})
		drained := replica(t, h, func(d *Config) { d.Drain = drain.New(begins) })
		clients := make([]*tailClient, 150)
		for i := range clients {
			req := &runicornapiv1.TailMetricsRequest{RunIds: []string{id}}
			if i%3 == 0 {
				req = &runicornapiv1.TailMetricsRequest{Filter: "project = p"}
			}
			clients[i] = startTail(t, drained, req)
		}
		for _, c := range clients {
			c.untilEvent("caught_up")
		}
		close(begins)
		begin := time.Now()
		for _, c := range clients {
			apierrtest.WantError(t, c.rest(), codes.Unavailable, "SERVER_DRAINING")
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if err := u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
			t.Fatal(err)
		}
		for _, c := range clients {
			c.connect(h)
			c.untilPoints(id, 2)
			c.want(id, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5"})
		}
	})
}

// TestTail_Refusals: what cannot be followed.
func TestTail_Refusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.SampleEvents)})
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
		c.untilEvent("caught_up")
		var long []string
		for i := range 64 {
			long = append(long, fmt.Sprintf("%02d%s", i, strings.Repeat("x", 100)))
		}
		for name, tt := range map[string]struct {
			req    *runicornapiv1.TailMetricsRequest
			reason string
		}{
			"neither runs nor filter": {&runicornapiv1.TailMetricsRequest{}, "INVALID_REQUEST"},
			"an id that is none":      {&runicornapiv1.TailMetricsRequest{RunIds: []string{"a/../b"}}, "INVALID_REQUEST"},
			"ids beyond any token":    {&runicornapiv1.TailMetricsRequest{RunIds: long}, "INVALID_REQUEST"},
			"a damaged token":         {&runicornapiv1.TailMetricsRequest{ResumeToken: c.token[:len(c.token)-2]}, "RESUME_TOKEN_INVALID"},
			"a page token":            {&runicornapiv1.TailMetricsRequest{ResumeToken: "AQIDBAUGBwg"}, "RESUME_TOKEN_INVALID"},
			"a token of other runs":   {&runicornapiv1.TailMetricsRequest{ResumeToken: c.token, RunIds: []string{"20200101_000000_abcdef"}}, "RESUME_TOKEN_INVALID"},
			"a token without filter":  {&runicornapiv1.TailMetricsRequest{ResumeToken: c.token, Filter: "project = p"}, "RESUME_TOKEN_INVALID"},
		} {
			step(t, name, func() {
				apierrtest.WantError(t, startTail(t, h, tt.req).rest(), codes.InvalidArgument, tt.reason)
			})
		}
		if again := startTail(t, h, &runicornapiv1.TailMetricsRequest{ResumeToken: c.token, RunIds: []string{target.ResourceName("v060", id)}}); again != nil {
			again.untilEvent("caught_up")
		}
	})
}

// TestTail_OneStalledClient changes nothing for the others, and continues where it
// stopped when it reads again.
func TestTail_OneStalledClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(0, `"loss": 0`))})
		clients := make([]*tailClient, 10)
		for i := range clients {
			clients[i] = startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
			clients[i].untilPoints(id, 1)
		}
		const n, text = 400, 10_000 // 4 MB, more than the windows of a connection
		for step := range n {
			if err := u.AppendEvents(id, []byte(servicetest.MetricsLine(1+step, fmt.Sprintf(`"note": "%0*d"`, text, step)))); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range clients[1:] {
			c.untilPoints(id, 1+n)
		}
		clients[0].untilPoints(id, 1+n)
		clients[0].want(id, clients[1].points[id])
	})
}

// TestTail_FollowsARunThatKeepsTraining follows the demo's live run, which grows with
// the clock.
func TestTail_FollowsARunThatKeepsTraining(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var ahead atomic.Int64
		clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		h := newHarnessWith(t, setup{
			client: func(c *restclient.Config) { c.Share = 1 },
			viewer: func(c *demotest.Config) { c.Clock, c.Live = clock, true },
		}, demotest.Gen07)
		id := h.Upstreams[0].LiveRun()
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: `"live"`, Start: runicornapiv1.TailStart_TAIL_START_NOW, MetricNames: []string{"lr"}})
		c.untilEvent("caught_up")
		ahead.Store(int64(time.Minute)) // 150 lines
		c.untilPoints(id, 140)
		servicetest.SetStatus(t, h.Upstreams[0], id, "interrupted")
		c.untilEvent("end INTERRUPTED")
	})
}

func TestTail_ADownsampledHistoryBeyondTheBudgetIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		small := replica(t, h, func(d *Config) { d.Budget = points.NewBudget(1 << 10) })
		id := h.Upstreams[0].AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(1000, func(int) float64 { return 1 }))})
		c := startTail(t, small, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, HistoryDownsample: &runicornapiv1.Downsample{MaxPoints: 9}})
		apierrtest.WantError(t, c.rest(), codes.ResourceExhausted, "SERVER_LIMIT")
	})
}
