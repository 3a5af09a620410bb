package tail

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// TestTail_EveryPointOnce: a wild log is written while the Viewer fails now and
// then; of many tails half drop at random and continue by token on this server or on
// another one. Every one ends with exactly what was logged.
func TestTail_EveryPointOnce(t *testing.T) {
	t.Parallel()
	for _, generation := range []demotest.Generation{demotest.Gen06, demotest.Gen07} {
		t.Run(string(generation), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newTailHarness(t, generation)
				servers := []*servicetest.Harness{h, replica(t, h, nil)}
				u := h.Upstreams[0]
				id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte{}})
				w := newTrainer(7)
				var clients sync.WaitGroup
				got := make([]*tailClient, 24)
				for i := range got {
					got[i] = newTailClient(t, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, Positions: true})
					clients.Go(func() { tailWithReconnects(t, got[i], servers, uint64(i)) })
				}
				ticker := time.NewTicker(5 * time.Millisecond)
				defer ticker.Stop()
				for i := range 150 {
					<-ticker.C
					for range 1 + w.random.IntN(4) {
						w.line()
					}
					w.write(t, u, id, w.random.IntN(3) == 0)
					switch i {
					case 40, 90:
						u.Fail(http.StatusInternalServerError)
					case 50, 100:
						u.Restored()
					}
				}
				w.line()
				w.write(t, u, id, false)
				servicetest.SetStatus(t, u, id, "finished")
				clients.Wait()
				for _, c := range got {
					c.want(id, w.points)
					if slices.ContainsFunc(c.events, func(e string) bool { return strings.HasPrefix(e, "reset") }) {
						t.Errorf("events %q", c.events)
					}
				}
			})
		})
	}
}

// tailWithReconnects tails to the end; every second client reconnects now and then.
func tailWithReconnects(t *testing.T, c *tailClient, servers []*servicetest.Harness, seed uint64) {
	t.Helper()
	random := newTrainer(seed).random
	c.connect(servers[seed%2])
	for {
		m, err := c.recv()
		if err != nil {
			t.Errorf("client %d: %v after %q", seed, err, c.events)
			return
		}
		if m.GetEnd() != nil {
			if err := c.rest(); err != nil {
				t.Errorf("client %d: behind the end: %v", seed, err)
			}
			return
		}
		if seed%2 == 1 && random.IntN(4) == 0 {
			c.connect(servers[random.IntN(len(servers))])
		}
	}
}

// TestTail_TableReceivesEachChange: on 0.5.3 a client ends with the last value of
// each cell.
func TestTail_TableReceivesEachChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen05)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`) + servicetest.MetricsLine(2, `"loss": 2`))})
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, Positions: true})
		c.untilEvent("caught_up")
		c.want(id, []string{"loss 1 1 at 1001.5", "loss 2 2 at 1002.5"})
		for _, line := range []string{servicetest.MetricsLine(3, `"loss": 3`), servicetest.MetricsLine(1, `"loss": 9`), servicetest.MetricsLine(4, `"loss": 4, "acc": 1`)} {
			if err := u.AppendEvents(id, []byte(line)); err != nil {
				t.Fatal(err)
			}
		}
		servicetest.SetStatus(t, u, id, "finished")
		if err := c.rest(); err != nil {
			t.Fatal(err)
		}
		last := map[string]string{}
		for _, p := range c.points[id] {
			words := strings.Fields(p)
			last[words[0]+" "+words[1]] = words[2]
		}
		want := map[string]string{"loss 1": "9", "loss 2": "2", "loss 3": "3", "loss 4": "4", "acc 4": "1"}
		if diff := cmp.Diff(want, last); diff != "" {
			t.Errorf("cells (-want +got):\n%s", diff)
		}
	})
}

// TestTail_LogsThatAreReplaced: there is never a mix of two histories.
func TestTail_LogsThatAreReplaced(t *testing.T) {
	t.Parallel()
	first := servicetest.MetricsLine(1, `"loss": 1`) + servicetest.MetricsLine(2, `"loss": 2`) + servicetest.MetricsLine(3, `"loss": 3`)
	for name, tt := range map[string]struct{ log, reset string }{
		"a shorter log":                              {servicetest.MetricsLine(1, `"loss": 1`), "reset TRUNCATED"},
		"another one of the same size":               {strings.ReplaceAll(first, `"loss": 3`, `"loss": 8`), "reset REPLACED"},
		"a larger one":                               {strings.Repeat(servicetest.MetricsLine(5, `"loss": 5`), 9), "reset REPLACED"},
		"one of the same size with the same end":     {strings.ReplaceAll(first, `"loss": 1`, `"loss": 8`), "reset REPLACED"},
		"a longer one with the same line at its end": {servicetest.MetricsLine(8, `"loss": 8`) + first, "reset REPLACED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newTailHarness(t, demotest.Gen06)
				u := h.Upstreams[0]
				id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(first), Created: time.Now()})
				c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
				c.untilEvent("caught_up")
				late := newTailClient(t, c.req)
				late.token, late.points[id] = c.token, slices.Clone(c.points[id])
				if err := u.ReplaceEvents(id, []byte(tt.log)); err != nil {
					t.Fatal(err)
				}
				servicetest.SetStatus(t, u, id, "finished")
				late.connect(replica(t, h, nil))
				for _, c := range []*tailClient{c, late} {
					if err := c.rest(); err != nil {
						t.Fatal(err)
					}
					want := strings.Count(tt.log, "\n")
					if len(c.points[id]) != want || !slices.Contains(c.events, tt.reset) {
						t.Errorf("%d points, want %d; events %q, want %q", len(c.points[id]), want, c.events, tt.reset)
					}
				}
			})
		})
	}
}

// TestTail_Ends: how tails end, and what they send before.
func TestTail_Ends(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		line := []byte(servicetest.MetricsLine(1, `"loss": 1`))
		add := func(status string) string {
			return u.AddRun(demotest.Run{Project: "p", Name: "n", Status: status, Events: line})
		}
		step(t, "a run that has ended", func() {
			for status, reason := range map[string]string{"finished": "FINISHED", "failed": "FAILED", "interrupted": "INTERRUPTED", "completed": "OTHER"} {
				c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{add(status)}})
				if err := c.rest(); err != nil {
					t.Fatal(err)
				}
				if want := []string{"caught_up", "end " + reason}; !slices.Equal(c.events, want) {
					t.Errorf("events %q, want %q", c.events, want)
				}
			}
		})
		step(t, "an unknown run among others ends alone", func() {
			c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{"20200101_000000_abcdef", add("finished")}})
			if err := c.rest(); err != nil || !slices.Contains(c.events, "end NOT_FOUND") || !slices.Contains(c.events, "end FINISHED") {
				t.Errorf("%v after %q", err, c.events)
			}
		})
		step(t, "with no run left the call is NOT_FOUND", func() {
			for _, ids := range [][]string{{"20200101_000000_abcdef"}, {"20200101_000000_abcdef", "20200101_000000_abcde0"}} {
				c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: ids})
				apierrtest.WantError(t, c.rest(), codes.NotFound, "RUN_NOT_FOUND")
			}
		})
		step(t, "a run that is opened again continues", func() {
			id := add("finished")
			c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, Until: runicornapiv1.TailUntil_TAIL_UNTIL_FOREVER})
			c.untilEvent("state finished")
			ended := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
			if err := ended.rest(); err != nil {
				t.Fatal(err)
			}
			if err := u.AppendEvents(id, []byte(servicetest.MetricsLine(2, `"loss": 2`))); err != nil {
				t.Fatal(err)
			}
			servicetest.SetStatus(t, u, id, "running")
			c.untilPoints(id, 2)
			ended.connect(h)
			ended.untilPoints(id, 2)
		})
		step(t, "a run that is deleted", func() {
			id := add("running")
			c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
			c.untilEvent("caught_up")
			if _, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{id}}); err != nil {
				t.Fatal(err)
			}
			if err := c.rest(); err != nil || !slices.Contains(c.events, "end DELETED") {
				t.Errorf("%v after %q", err, c.events)
			}
		})
		step(t, "behind the end there is nothing but ends", func() {
			c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{add("finished"), add("failed")}})
			if err := c.rest(); err != nil {
				t.Fatal(err)
			}
			c.connect(h)
			for {
				m, err := c.recv()
				if err != nil {
					break
				}
				if m.GetEnd() == nil {
					t.Errorf("got %v", m)
				}
			}
		})
	})
}

// TestTail_WithoutAViewer: the first message is sent without delay, and its token stands
// for the requested start.
func TestTail_WithoutAViewer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		u.Fail(http.StatusInternalServerError)
		c := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, HeartbeatInterval: durationpb.New(time.Second)})
		begin := time.Now()
		m, err := c.recv()
		if err != nil || m.GetHeartbeat() == nil || m.GetResumeToken() == "" || time.Since(begin) > firstMessageTimeout {
			t.Fatalf("the first message is %v, %v", m, err)
		}
		failing := c.until(func(m *runicornapiv1.TailMetricsResponse) bool {
			return m.GetHeartbeat().GetUpstreamState() == runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING
		}).GetHeartbeat()
		if codes.Code(failing.GetLastError().GetCode()) != codes.Internal || failing.GetFollowedRunCount() != 1 { //nolint:gosec // a code
			t.Errorf("heartbeat %v", failing)
		}
		u.Restored()
		c.connect(replica(t, h, nil))
		c.untilPoints(id, 1)
	})
}

// TestTail_UnreachableForTooLong: only then a tail ends, and may be tried again.
func TestTail_UnreachableForTooLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.MetricsLine(1, `"loss": 1`))})
		shortTimeout := replica(t, h, func(d *Config) { d.Hub = shortTimeoutHub(t) })
		c := startTail(t, shortTimeout, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
		c.untilEvent("caught_up")
		u.Fail(http.StatusInternalServerError)
		err := c.rest()
		apierrtest.WantError(t, err, codes.Unavailable, "VIEWER_UNREACHABLE")
		wantRetry(t, err)
	})
}

// TestTail_DownsampledHistoryIsAtomic: until its caught_up a token restarts it.
func TestTail_DownsampledHistoryIsAtomic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen06)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Project: "p", Name: "n", Events: []byte(servicetest.CurveLines(30_000, func(step int) float64 { return float64(step % 100) }))})
		req := &runicornapiv1.TailMetricsRequest{RunIds: []string{id}, HistoryDownsample: &runicornapiv1.Downsample{MaxPoints: 9000}}
		c := startTail(t, h, req)
		m := c.until(func(m *runicornapiv1.TailMetricsResponse) bool { return m.GetBatch() != nil })
		if s := m.GetBatch().GetSeries()[0]; s.GetTotalCount() != 30_000 || s.GetReturnedCount() > 9000 || len(s.GetSteps()) > 4096 {
			t.Errorf("kept %d of %d, %d of them in a message", s.GetReturnedCount(), s.GetTotalCount(), len(s.GetSteps()))
		}
		c.connect(replica(t, h, nil)) // in the middle of it
		c.untilEvent("caught_up")
		if want := []string{"reset SOURCE_CHANGED", "caught_up"}; !slices.Equal(c.events, want) || len(c.points[id]) > 9000 || len(c.points[id]) < 8000 {
			t.Errorf("events %q, want %q; %d points", c.events, want, len(c.points[id]))
		}
		n := len(c.points[id])
		c.connect(h)
		if err := u.AppendEvents(id, []byte(servicetest.CurveLines(50, func(int) float64 { return 1 }))); err != nil {
			t.Fatal(err)
		}
		c.untilPoints(id, n+50) // the live part is full
	})
}

// TestTail_OneBadRunDoesNotEndTheStreamOfOthers: what is too large for a line or a message
// is passed over or cut, and the rest of it and of other runs continues.
func TestTail_OneBadRunDoesNotEndTheStreamOfOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newTailHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		names := make([]string, 0, 600)
		for i := range 600 {
			names = append(names, fmt.Sprintf(`"%s%d": 1`, strings.Repeat("n", 10_000), i))
		}
		before, after := servicetest.MetricsLine(1, `"loss": 1`), servicetest.MetricsLine(3, `"loss": 3`)
		good := u.AddRun(demotest.Run{Project: "p", Name: "good", Events: []byte(before)})
		for name, tt := range map[string]struct {
			line      string
			malformed int64
			text      bool
		}{
			"a line of 17 MiB":            {servicetest.MetricsLine(2, `"x": "`+strings.Repeat("x", 17<<20)+`"`), 1, false},
			"a text of 5 MiB":             {servicetest.MetricsLine(2, `"x": "`+strings.Repeat("x", 5<<20)+`"`), 0, true},
			"600 names of 10 kB":          {servicetest.MetricsLine(2, strings.Join(names, ", ")), 0, false},
			"a name of 5 MiB":             {servicetest.MetricsLine(2, `"`+strings.Repeat("n", 5<<20)+`": 1`), 0, false},
			"half a line of 17 MiB first": {strings.Repeat("x", 17<<20) + "\n", 1, false},
		} {
			step(t, name, func() {
				for _, downsample := range []*runicornapiv1.Downsample{nil, {MaxPoints: 100}} {
					bad := u.AddRun(demotest.Run{Project: "p", Name: "bad", Events: []byte(before + tt.line + after)})
					c := startTail(t, h, &runicornapiv1.TailMetricsRequest{
						RunIds: []string{bad, good}, HistoryDownsample: downsample, HeartbeatInterval: durationpb.New(time.Second),
					})
					m := c.until(func(m *runicornapiv1.TailMetricsResponse) bool {
						return m.GetHeartbeat() != nil && countOf(c.events, "caught_up") == 2
					})
					loss := bySeries(c.points[bad])["loss"]
					if len(loss) != 2 || len(c.points[good]) != 1 || m.GetHeartbeat().GetMalformedLineCount() != tt.malformed {
						t.Errorf("loss %q of the bad run, %d points of the good one, heartbeat %v", loss, len(c.points[good]), m)
					}
					if text := bySeries(c.points[bad])["x"]; (len(text) == 1) != tt.text {
						t.Errorf("%d texts", len(text))
					}
					c.drop()
				}
			})
		}
	})
}
