package tail

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// tunneled is a server before a Viewer with a fake SSH side, whose sessions
// lead to the Viewer of a GPU server.
type tunneled struct {
	*servicetest.Harness
	fake   *servicetest.SSHFake
	holder string
	gpu    *servicetest.Upstream
}

func newTunnelled(t *testing.T) *tunneled {
	t.Helper()
	h := newHarnessWith(t, setup{config: func(d *Config) { d.Hub = servicetest.NewHub(t) }, loopback: true}, demotest.Gen07)
	s := &tunneled{
		Harness: h, fake: &servicetest.SSHFake{}, holder: h.Upstreams[0].Name,
		gpu: servicetest.NewUpstream(t, nil, demotest.Gen06, nil),
	}
	h.Upstreams[0].Replace(s.fake.Serve)
	return s
}

// sessions makes these the sessions of the Viewer, each with a tunnel to the GPU
// server, and makes every replica poll.
func (s *tunneled) sessions(t *testing.T, replicas []*servicetest.Harness, ids ...string) {
	t.Helper()
	at, err := url.Parse(s.gpu.Server.URL)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 0, len(ids))
	for _, id := range ids {
		texts = append(texts, fmt.Sprintf(`{"sessionId":%q,"localPort":%s,"status":"running","isActive":true}`, id, at.Port()))
	}
	s.fake.SetSessions(texts)
	for _, r := range replicas { // an unknown name is looked up immediately
		_, _ = r.Config.Fleet.Get(t.Context(), s.holder+".nobody")
	}
}

// name returns the name of the Viewer behind a session.
func (s *tunneled) name(id string) string { return s.holder + "." + id }

func TestTail_EndsWithTheSessionOfItsViewerAndContinuesInTheNext(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		resume func(*tunneled, *runicornapiv1.TailMetricsRequest)
	}{
		{"by the token alone", func(_ *tunneled, req *runicornapiv1.TailMetricsRequest) { req.Viewer, req.RunIds = "", nil }},
		{"by the token beside the first request", func(*tunneled, *runicornapiv1.TailMetricsRequest) {}},
		{"by the token beside the new name", func(s *tunneled, req *runicornapiv1.TailMetricsRequest) { req.Viewer = s.name("second") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newTunnelled(t)
			other := replica(t, s.Harness, nil)
			both := []*servicetest.Harness{s.Harness, other}
			s.sessions(t, both, "first")
			run := s.gpu.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
			req := &runicornapiv1.TailMetricsRequest{Viewer: s.name("first"), RunIds: []string{run}}
			c := startTail(t, s.Harness, req)
			c.untilPoints(run, 1)

			s.sessions(t, both)
			apierrtest.WantError(t, c.rest(), codes.Unavailable, "VIEWER_UNREACHABLE")
			again := &runicornapiv1.TailMetricsRequest{Viewer: req.GetViewer(), RunIds: req.GetRunIds(), ResumeToken: c.token}
			tt.resume(s, again)
			if tt.name != "by the token beside the new name" {
				for _, h := range both {
					err := newTailClientOf(t, h, again).rest()
					apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
					wantRetry(t, err)
				}
			}

			if err := s.gpu.AppendEvents(run, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
				t.Fatal(err)
			}
			s.sessions(t, both, "second")
			for _, h := range both {
				resumed := newTailClientOf(t, h, again)
				m := resumed.until(func(m *runicornapiv1.TailMetricsResponse) bool { return m.GetBatch() != nil })
				if m.GetViewer() != s.name("second") {
					t.Errorf("points of %s", m.GetViewer())
				}
				resumed.want(run, []string{"loss 2 2 at 1002.5"})
				// The first request stays valid with a token of the second session.
				third := newTailClientOf(t, h, &runicornapiv1.TailMetricsRequest{Viewer: req.GetViewer(), RunIds: req.GetRunIds(), ResumeToken: resumed.token})
				third.until(func(m *runicornapiv1.TailMetricsResponse) bool {
					return m.GetHeartbeat() != nil || m.GetCaughtUp() != nil
				})
				if len(third.points) > 0 {
					t.Errorf("delivered twice: %v", third.points)
				}
			}
		})
	}
}

// newTailClientOf connects with exactly this request.
func newTailClientOf(t *testing.T, h *servicetest.Harness, req *runicornapiv1.TailMetricsRequest) *tailClient {
	t.Helper()
	c := newTailClient(t, req)
	c.connect(h)
	return c
}

func TestTail_OfASessionNeverTrustsAnotherViewer(t *testing.T) {
	t.Parallel()
	s := newTunnelled(t)
	s.sessions(t, []*servicetest.Harness{s.Harness}, "first")
	run := s.gpu.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	kept := s.gpu.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	c := startTail(t, s.Harness, &runicornapiv1.TailMetricsRequest{Viewer: s.name("first"), RunIds: []string{run}})
	c.untilPoints(run, 1)
	logs := startTailLogs(t, s.Harness, &runicornapiv1.TailLogsRequest{Viewer: s.name("first"), RunId: kept})
	if _, err := logs.recv(); err != nil {
		t.Fatal(err)
	}
	// The session has ended, and its port leads to a Viewer without the run:
	// no server has polled yet.
	s.fake.Mu.Lock()
	s.fake.Sessions = nil
	s.fake.Mu.Unlock()
	other := servicetest.NewUpstream(t, nil, demotest.Gen06, nil)
	s.gpu.Replace(func(w http.ResponseWriter, r *http.Request) bool {
		other.ServeHTTP(w, r)
		return true
	})
	apierrtest.WantError(t, c.rest(), codes.Unavailable, "VIEWER_UNREACHABLE")
	for {
		m, err := logs.recv()
		if err != nil {
			apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
			return
		}
		if m.GetEnd() != nil {
			t.Fatalf("the log has ended by %v", m.GetEnd())
		}
	}
}

func TestTailLogs_ContinueInTheNextSession(t *testing.T) {
	t.Parallel()
	s := newTunnelled(t)
	both := []*servicetest.Harness{s.Harness}
	s.sessions(t, both, "first")
	run := s.gpu.AddRun(demotest.Run{Project: "p", Name: "n"})
	log := func(text string) {
		t.Helper()
		if err := s.gpu.AppendLogs(run, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	log("one\n")
	c := startTailLogs(t, s.Harness, &runicornapiv1.TailLogsRequest{Viewer: s.name("first"), RunId: run})
	for len(c.lines) < 1 {
		if _, err := c.recv(); err != nil {
			t.Fatal(err)
		}
	}
	watch, err := s.Experiments.WatchExperiments(t.Context(), &runicornapiv1.WatchExperimentsRequest{Viewer: s.name("first")})
	if err != nil {
		t.Fatal(err)
	}
	s.sessions(t, both)
	for err == nil {
		_, err = c.recv()
	}
	apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
	for err = nil; err == nil; {
		_, err = watch.Recv()
	}
	apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
	log("two\n")
	s.sessions(t, both, "second")
	c.connect(s.Harness)
	for len(c.lines) < 2 {
		if _, err := c.recv(); err != nil {
			t.Fatal(err)
		}
	}
	if c.lines[0].GetText() != "one" || c.lines[1].GetText() != "two" || len(c.lines) != 2 {
		t.Errorf("lines %v", c.lines)
	}
}

func TestTailFilter_ContinuesInTheNextSession(t *testing.T) {
	t.Parallel()
	s := newTunnelled(t)
	both := []*servicetest.Harness{s.Harness, replica(t, s.Harness, nil)}
	s.sessions(t, both, "first")
	run := s.gpu.AddRun(demotest.Run{Project: "gpu", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	c := startTail(t, s.Harness, &runicornapiv1.TailMetricsRequest{Viewer: s.name("first"), Filter: "project = gpu"})
	c.untilPoints(run, 1)
	s.sessions(t, both)
	apierrtest.WantError(t, c.rest(), codes.Unavailable, "VIEWER_UNREACHABLE")
	c.connect(both[1])
	apierrtest.WantError(t, c.rest(), codes.Unavailable, "VIEWER_UNREACHABLE")
	s.sessions(t, both, "second")
	if err := s.gpu.AppendEvents(run, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
		t.Fatal(err)
	}
	c.connect(both[1])
	c.untilPoints(run, 2)
	c.want(run, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5"})
}

// TestTailFilter_OfAllViewersOutlivesASession: runs there wait for the next one,
// in the same stream and in one that is resumed meanwhile, and those that have
// ended are not sent again.
func TestTailFilter_OfAllViewersOutlivesASession(t *testing.T) {
	t.Parallel()
	s := newTunnelled(t)
	both := []*servicetest.Harness{s.Harness, replica(t, s.Harness, nil)}
	s.sessions(t, both, "first")
	add := func() string {
		return s.gpu.AddRun(demotest.Run{Project: "gpu", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
	}
	run, ended := add(), add()
	servicetest.SetStatus(t, s.gpu, ended, "finished")
	req := &runicornapiv1.TailMetricsRequest{
		Viewer: target.AllViewers, Filter: "project = gpu", HeartbeatInterval: durationpb.New(time.Second),
	}
	stays, resumes := startTail(t, s.Harness, req), startTail(t, s.Harness, req)
	for _, c := range []*tailClient{stays, resumes} {
		c.untilPoints(run, 1)
		c.untilPoints(ended, 1)
		c.untilEvent("end FINISHED")
	}
	s.sessions(t, both)
	resumes.connect(both[1])
	for _, c := range []*tailClient{stays, resumes} {
		c.until(func(m *runicornapiv1.TailMetricsResponse) bool {
			h := m.GetHeartbeat()
			return h.GetUpstreamState() == runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING && h.GetLastError() != nil && h.GetFollowedRunCount() == 1
		})
	}
	if err := s.gpu.AppendEvents(run, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
		t.Fatal(err)
	}
	s.sessions(t, both, "second")
	for _, c := range []*tailClient{stays, resumes} {
		c.untilPoints(run, 2)
		c.want(run, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5"})
		c.until(func(m *runicornapiv1.TailMetricsResponse) bool { return m.GetHeartbeat() != nil })
		c.want(ended, []string{"loss 1 1 at 1001.5"})
	}
}
