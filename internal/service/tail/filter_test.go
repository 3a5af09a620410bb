package tail

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// TestTailFilter_FollowsRunsThatStartLater, on this server and, by token, on
// another one, each point once.
func TestTailFilter_FollowsRunsThatStartLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		add := func(project, loss string) string {
			return u.AddRun(demotest.Run{Project: project, Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": `+loss))})
		}
		first := add("later", "1")
		add("other", "9")
		req := &runicornapiv1.TailMetricsRequest{Filter: "project = later"}
		c := startTail(t, h, req)
		c.untilPoints(first, 1)
		second := add("later", "2")
		c.untilPoints(second, 1)
		servicetest.SetStatus(t, u, first, "finished")
		c.untilEvent("end FINISHED")
		c.drop()

		third := add("later", "3")
		if err := u.AppendEvents(second, []byte(servicetest.MetricsLine(2, `"loss": 2.5`))); err != nil {
			t.Fatal(err)
		}
		c.connect(replica(t, h, nil))
		c.untilPoints(third, 1)
		c.untilPoints(second, 2)
		c.want(first, []string{"loss 1 1 at 1001.5"})
		c.want(second, []string{"loss 1 2 at 1001.5", "loss 2 2.5 at 1002.5"})
		c.want(third, []string{"loss 1 3 at 1001.5"})
		if len(c.points) != 3 {
			t.Errorf("points of %d runs", len(c.points))
		}
	})
}

// TestTailFilter_FromNow: existing runs are followed from now on, later ones from their
// beginning.
func TestTailFilter_FromNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		first := u.AddRun(demotest.Run{Project: "now", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`)), Created: time.Now().Add(time.Minute)})
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: "project = now", Start: runicornapiv1.TailStart_TAIL_START_NOW})
		c.untilEvent("caught_up")
		second := u.AddRun(demotest.Run{Project: "now", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 2`)), Created: time.Now().Add(2 * time.Minute)})
		c.untilPoints(second, 1)
		if err := u.AppendEvents(first, []byte(servicetest.MetricsLine(2, `"loss": 1.5`))); err != nil {
			t.Fatal(err)
		}
		c.untilPoints(first, 1)
		c.want(first, []string{"loss 2 1.5 at 1002.5"})
	})
}

// TestTailFilter_UntilFinished ends when all that match have ended.
func TestTailFilter_UntilFinished(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "done", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: "project = done", Until: runicornapiv1.TailUntil_TAIL_UNTIL_RUN_FINISHED})
		c.untilEvent("caught_up")
		servicetest.SetStatus(t, u, id, "failed")
		if err := c.rest(); err != nil || !slices.Contains(c.events, "end FAILED") {
			t.Errorf("%v after %q", err, c.events)
		}
	})
}

// TestTailFilter_MoreThanItFollows: more runs that have ended than one stream follows at
// a time are all delivered, in their order, over any number of streams; so is what starts
// later, and what turns up late. A stream that is resumed delivers nothing twice.
func TestTailFilter_MoreThanItFollows(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"short ids": "20250131_120000_%06x", "long ids": strings.Repeat("long-", 30) + "%06x"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const n = 3*maxTailRuns + 5
				h := newTailHarness(t, demotest.Gen06)
				u := h.Upstreams[0]
				created := time.Now().Add(-time.Hour)
				add := func(i int, status string) string {
					return u.AddRun(demotest.Run{
						ID: fmt.Sprintf(id, i), Project: "many", Name: "n", Status: status,
						Created: created.Add(time.Duration(i) * time.Second), Events: []byte(servicetest.MetricsLine(1, `"loss": 1`)),
					})
				}
				for i := range n {
					add(100+i, "finished")
				}
				c := startTail(t, h, &runicornapiv1.TailMetricsRequest{
					Filter: "project = many", HeartbeatInterval: durationpb.New(time.Second), Until: runicornapiv1.TailUntil_TAIL_UNTIL_RUN_FINISHED,
				})
				for len(c.points) < maxTailRuns+9 {
					c.until(func(m *runicornapiv1.TailMetricsResponse) bool { return m.GetBatch() != nil })
				}
				for run := range c.points {
					if last := fmt.Sprintf(id, 100+2*maxTailRuns+9); run > last {
						t.Errorf("%s begins out of its turn", run)
					}
				}
				late, running := add(1, "finished"), add(100+n, "running")
				c.untilPoints(late, 1)
				c.connect(replica(t, h, nil))
				c.untilPoints(running, 1)
				servicetest.SetStatus(t, u, running, "finished")
				if err := c.rest(); err != nil {
					t.Fatal(err)
				}
				if len(c.points) < n+1 || countOf(c.events, "end FINISHED") < n+1 || len(c.token) > maxTailToken {
					t.Errorf("points of %d runs, %d ends, a token of %d bytes", len(c.points), countOf(c.events, "end FINISHED"), len(c.token))
				}
				for run, points := range c.points {
					if len(points) != 1 {
						t.Errorf("%d points of %s", len(points), run)
					}
				}
				if resets := countOf(c.events, "reset SOURCE_CHANGED"); resets > 0 {
					t.Errorf("%d resets", resets)
				}
			})
		})
	}
}

// TestTailFilter_LateRunsOfAResumedStream: a run that appeared before the watermark and
// ended while no stream was open may be one of those that were delivered. It is counted.
func TestTailFilter_LateRunsOfAResumedStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		created := time.Now().Add(-time.Hour)
		add := func(i int) {
			u.AddRun(demotest.Run{
				ID: fmt.Sprintf("20250131_120000_%06x", i), Project: "many", Name: "n", Status: "finished",
				Created: created.Add(time.Duration(i) * time.Second), Events: []byte(servicetest.MetricsLine(1, `"loss": 1`)),
			})
		}
		for i := range maxTailRuns + 2 {
			add(100 + i)
		}
		req := &runicornapiv1.TailMetricsRequest{
			Filter: "project = many", HeartbeatInterval: durationpb.New(time.Second), Until: runicornapiv1.TailUntil_TAIL_UNTIL_RUN_FINISHED,
		}
		c := startTail(t, h, req)
		if err := c.rest(); err != nil {
			t.Fatal(err)
		}
		add(1)
		c.connect(replica(t, h, nil))
		counted := false
		for {
			m, err := c.recv()
			if err != nil {
				break
			}
			counted = m.GetHeartbeat().GetNotFollowedRunCount() == 1
		}
		if !counted {
			t.Error("the last message does not count the run that is late")
		}
		if len(c.points) != maxTailRuns+2 {
			t.Errorf("points of %d runs", len(c.points))
		}
	})
}

func countOf(events []string, name string) (n int) {
	for _, e := range events {
		if e == name {
			n++
		}
	}
	return n
}

// TestTailFilter_ATunneledViewerIsAddedAndRemoved: in a tail over all Viewers, a token
// stays valid while a tunneled Viewer has no session, and its runs continue at their
// positions in the next session.
func TestTailFilter_ATunneledViewerIsAddedAndRemoved(t *testing.T) {
	t.Parallel()
	h := newHarnessWith(t, setup{loopback: true}, demotest.Gen07)
	near, far := h.Upstreams[0], servicetest.NewUpstream(t, nil, demotest.Gen06, nil)
	_, port, _ := strings.Cut(strings.TrimPrefix(far.Server.URL, "http://"), ":")
	sessions := atomic.Pointer[string]{}
	isThere := func(is bool) {
		list := `{"sessions":[]}`
		if is {
			list = `{"sessions":[{"sessionId":"abcd1234","localPort":` + port + `,"status":"running","isActive":true}]}`
		}
		sessions.Store(&list)
	}
	near.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/remote/viewer/sessions" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, *sessions.Load())
		return true
	})
	grow := func(u *servicetest.Upstream, run string, step int) {
		t.Helper()
		if err := u.AppendEvents(run, []byte(servicetest.MetricsLine(step, fmt.Sprintf(`"loss": %d`, step)))); err != nil {
			t.Fatal(err)
		}
	}
	add := func(u *servicetest.Upstream, id string) string {
		return u.AddRun(demotest.Run{ID: id, Project: "tunnel", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	}
	here, there := add(near, "20250101_000000_aaaaaa"), add(far, "20250101_000000_bbbbbb")
	isThere(true)
	c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Viewer: "-", Filter: "project = tunnel"})
	c.untilPoints(here, 1)
	c.untilPoints(there, 1)
	c.drop()

	isThere(false)
	grow(near, here, 2)
	c.connect(replica(t, h, nil))
	c.untilPoints(here, 2)
	c.drop()

	isThere(true)
	grow(far, there, 2)
	c.connect(replica(t, h, nil))
	c.untilPoints(there, 2)
	grow(near, here, 3)
	c.untilPoints(here, 3)
	c.want(here, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5", "loss 3 3 at 1003.5"})
	c.want(there, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5"})
	if n := countOf(c.events, "reset SOURCE_CHANGED"); n > 0 {
		t.Errorf("%d resets: %q", n, c.events)
	}
}

// TestTailFilter_AResumeAfterAllEndsEndsImmediately: regardless of the interval of
// heartbeats.
func TestTailFilter_AResumeAfterAllEndsEndsImmediately(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		for range 3 {
			h.Upstreams[0].AddRun(demotest.Run{Project: "over", Name: "n", Status: "finished", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		}
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: "project = over"})
		for countOf(c.events, "end FINISHED") < 3 {
			c.untilEvent("end FINISHED")
		}
		c.connect(replica(t, h, nil))
		begin := time.Now()
		m, err := c.recv()
		if err != nil || m.GetHeartbeat() == nil {
			t.Fatal(m, err)
		}
		if took := time.Since(begin); took > firstMessageTimeout {
			t.Errorf("the first message came after %v", took)
		}
	})
}

// TestTailFilter_RefusesATokenOfOtherViewers: it is not known here, and never was.
func TestTailFilter_RefusesATokenOfOtherViewers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen07)
		for _, viewer := range []string{"other", "other.abcd1234"} {
			token := &tailToken{hasFilter: true, filter: filterHash("project = p"), viewer: "-", runs: []tailRun{{viewer: viewer, runID: "a-run"}}}
			c := startTail(t, h, &runicornapiv1.TailMetricsRequest{ResumeToken: token.String(), Filter: "project = p"})
			apierrtest.WantError(t, c.rest(), codes.InvalidArgument, "RESUME_TOKEN_INVALID")
		}
	})
}

// TestTailFilter_Refusals: filters that do not fit into a token, and tokens of other
// filters.
func TestTailFilter_Refusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: "project = none"})
		if _, err := c.recv(); err != nil {
			t.Fatal(err)
		}
		other := startTail(t, h, &runicornapiv1.TailMetricsRequest{ResumeToken: c.token, Filter: "project = p"})
		apierrtest.WantError(t, other.rest(), codes.InvalidArgument, "RESUME_TOKEN_INVALID")
		without := startTail(t, h, &runicornapiv1.TailMetricsRequest{ResumeToken: c.token})
		apierrtest.WantError(t, without.rest(), codes.InvalidArgument, "RESUME_TOKEN_INVALID")
		for _, text := range []string{"project = ", "name = a OR name = b AND name = c", "metrics.loss < 1", "none = 1", strings.Repeat("a", 2049)} {
			apierrtest.WantError(t, startTail(t, h, &runicornapiv1.TailMetricsRequest{Filter: text}).rest(), codes.InvalidArgument, "INVALID_REQUEST")
		}
	})
}
