package tail

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// quickLogs makes the demo's WebSocket check for a missing file without delay.
var quickLogs = setup{viewer: func(c *demotest.Config) { c.LogWait = 1 }}

func mustAppend(tb testing.TB, u *servicetest.Upstream, id, text string) {
	tb.Helper()
	if err := u.AppendLogs(id, []byte(text)); err != nil {
		tb.Fatal(err)
	}
}

func mustSet(tb testing.TB, u *servicetest.Upstream, id, status string) {
	tb.Helper()
	if err := u.SetStatus(id, status); err != nil {
		tb.Fatal(err)
	}
}

const oddLog = "12:00:00 | one\n\nепоха ü\r\nstep\r50%\r100%\nbad\xff\xfeend\n"

func TestTailLogs_SendsTheLogThenNewLinesThenTheEnd(t *testing.T) {
	onEach(t, setup{}, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		id := u.AddRun(demotest.Run{Logs: []byte(oddLog)})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		want := []string{"12:00:00 | one", "", "епоха ü", "step\r50%\r100%", "bad\uFFFDend (lossy)"}
		if u.Name == "v053" { // the WebSocket drops blank lines and bytes, and cuts at \r
			want = []string{"12:00:00 | one", "епоха ü", "step", "50%", "100%", "badend"}
		}
		history := len(want)
		c.until(has(c, "caught_up"))
		mustAppend(t, u, id, "live\n")
		c.record(history + 1)
		mustAppend(t, u, id, "last")
		mustSet(t, u, id, "finished")
		if err := c.finish(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended by %v", err)
		}
		if diff := cmp.Diff(append(want, "live", "last"), c.texts()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		events := []string{fmt.Sprintf("caught_up after %d", history), fmt.Sprintf("end FINISHED after %d", history+2)}
		c.events = slices.DeleteFunc(c.events, func(e string) bool { return strings.HasPrefix(e, "state finished") })
		if diff := cmp.Diff(events, c.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
		c.connect(h) // as a browser does
		c.events = nil
		if err := c.finish(); !errors.Is(err, io.EOF) || len(c.events) != 1 || !has(c, "end FINISHED")() {
			t.Errorf("behind its end the stream said %q and ended by %v", c.events, err)
		}
		for i, line := range c.lines {
			isFile := u.Name != "v053"
			if (line.Offset != nil) != isFile || isFile && i == 2 && line.GetOffset() != int64(len("12:00:00 | one\n\n")) {
				t.Errorf("line %d has offset %v", i, line.Offset) //nolint:protogetter // absent is not 0
			}
		}
	})
}

func TestTailLogs_BeginsAtTheRequestedLine(t *testing.T) {
	now := runicornapiv1.TailStart_TAIL_START_NOW
	lastLines := func(n int32) *int32 { return &n }
	onEach(t, setup{}, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		for _, tt := range []struct {
			name string
			req  *runicornapiv1.TailLogsRequest
			want []string
		}{
			{"from now", &runicornapiv1.TailLogsRequest{Start: now}, []string{"live"}},
			{"the last two lines", &runicornapiv1.TailLogsRequest{LastLines: lastLines(2)}, []string{"two", "three", "live"}},
			{"no line of the past", &runicornapiv1.TailLogsRequest{LastLines: lastLines(0)}, []string{"live"}},
			{"more lines than there are", &runicornapiv1.TailLogsRequest{LastLines: lastLines(100)}, []string{"one", "two", "three", "live"}},
		} {
			step(t, tt.name, func() {
				id := u.AddRun(demotest.Run{Logs: []byte("one\ntwo\nthree\n")})
				tt.req.Viewer, tt.req.RunId = u.Name, id
				c := startTailLogs(t, h, tt.req)
				c.until(has(c, "caught_up"))
				mustAppend(t, u, id, "live\n")
				c.record(len(tt.want))
				if diff := cmp.Diff(tt.want, c.texts()); diff != "" {
					t.Error(diff)
				}
			})
		}
	})
}

func TestTailLogs_ResumesOnAnotherServer(t *testing.T) {
	onEach(t, setup{}, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		other := replica(t, h, nil)
		id := u.AddRun(demotest.Run{Logs: []byte("line 0\n")})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		want := []string{"line 0"}
		for n := 1; n <= 6; n++ {
			c.record(n)
			c.cancel()
			want = append(want, fmt.Sprintf("line %d", n))
			mustAppend(t, u, id, want[n]+"\n")
			c.connect([]*servicetest.Harness{other, h}[n%2])
		}
		mustSet(t, u, id, "failed")
		if err := c.finish(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended by %v", err)
		}
		if diff := cmp.Diff(want, c.texts()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestTailLogs_WaitsForALogThatDoesNotExistYet(t *testing.T) {
	onEach(t, quickLogs, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		id := u.AddRun(demotest.Run{})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		c.until(has(c, "caught_up"))
		mustAppend(t, u, id, "first\n")
		c.record(1)
		silent := u.AddRun(demotest.Run{Status: "finished", ID: "silent"})
		c = startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: silent})
		if err := c.finish(); !errors.Is(err, io.EOF) || !has(c, "end FINISHED after 0")() {
			t.Errorf("the stream ended by %v after %q", err, c.events)
		}
	})
}

// The replay of 0.5.3's WebSocket does not mean that the run is running: a run that has
// ended is never reported as running.
func TestTailLogs_OfARunThatHasEndedSendsNoState(t *testing.T) {
	onEach(t, setup{}, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		id := u.AddRun(demotest.Run{Logs: []byte(strings.Repeat("a line\n", 6000)), Status: "failed"})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		if err := c.finish(); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ended by %v", err)
		}
		if diff := cmp.Diff([]string{"caught_up after 6000", "end FAILED after 6000"}, c.events); diff != "" {
			t.Errorf("events (-want +got):\n%s", diff)
		}
	})
}

// TestTailLogs_LastLinesOfAStream: no client starts before what was read.
func TestTailLogs_LastLinesOfAStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, demotest.Gen05)
		u := h.Upstreams[0]
		for n := range 20 {
			id := u.AddRun(demotest.Run{Logs: []byte(strings.Repeat("a line\n", 2000)), Status: "finished"})
			c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id, LastLines: new(int32(n % 2))})
			if err := c.finish(); !errors.Is(err, io.EOF) || len(c.lines) != n%2 {
				t.Errorf("%d lines, want %d; ended by %v", len(c.lines), n%2, err)
			}
		}
	})
}

// A WebSocket that breaks sends everything again; clients see nothing of it.
func TestTailLogs_OneWebSocketServesAllAndBreaksUnseen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, demotest.Gen05)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{Logs: []byte("one\ntwo\n")})
		readers := make([]*logReader, 50)
		for i := range readers {
			readers[i] = startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		}
		all := func(n int) {
			var wait sync.WaitGroup
			for _, c := range readers {
				wait.Go(func() { c.record(n) })
			}
			wait.Wait()
		}
		all(2)
		if open, most := u.LogSockets(); open != 1 || most != 1 {
			t.Errorf("%d WebSockets for 50 tails, %d at most", open, most)
		}
		u.CloseLogs()
		mustAppend(t, u, id, "three\n")
		all(3)
		for _, c := range readers {
			if diff := cmp.Diff([]string{"one", "two", "three"}, c.texts()); diff != "" {
				t.Fatal(diff)
			}
			c.cancel()
		}
		for open := 1; open > 0; open, _ = u.LogSockets() { // the last one out closes it
			runtime.Gosched()
		}
	})
}

func TestTailLogs_ReportsWhatItCannotServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t)
		var many strings.Builder
		for n := range 10_003 {
			fmt.Fprintf(&many, "l%d\n", n+1)
		}
		long := strings.Repeat("ü", 1<<19) // 1 MiB
		id := h.Upstreams[0].AddRun(demotest.Run{Logs: []byte(many.String() + long + "tail\nnext\n")})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: "v053", RunId: id})
		c.record(10_005)
		texts := c.texts()
		if texts[9_999] != "l10000" || texts[10_000] != "\uFFFD (lossy)" || texts[10_001] != "l10002" || texts[10_004] != "next" {
			t.Errorf("around the line that 0.5.3 loses: %q", texts[9_999:10_003])
		}
		if cut := c.lines[10_003]; !cut.GetLossy() || !strings.HasPrefix(long, cut.GetText()) || len(cut.GetText()) < len(long)-8 {
			t.Errorf("a long line came with %d bytes, lossy %t", len(cut.GetText()), cut.GetLossy())
		}
		for _, u := range h.Upstreams {
			err := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: "missing"}).finish()
			apierrtest.WantError(t, err, codes.NotFound, "RUN_NOT_FOUND")
		}
	})
}

func TestTailLogs_RefusesTokensOfOtherStreams(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(t, demotest.Gen07)
		u := h.Upstreams[0]
		id := u.AddRun(demotest.Run{ID: "a-run", Logs: []byte("one\n")})
		u.AddRun(demotest.Run{ID: "b-run"})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{RunId: id})
		c.record(1)
		points := startTail(t, h, &runicornapiv1.TailMetricsRequest{RunIds: []string{id}})
		if _, err := points.recv(); err != nil {
			t.Fatal(err)
		}
		now := runicornapiv1.TailStart_TAIL_START_NOW
		for _, tt := range []struct {
			name, reason string
			req          *runicornapiv1.TailLogsRequest
		}{
			{"a token of another run", "RESUME_TOKEN_INVALID", &runicornapiv1.TailLogsRequest{RunId: "b-run", ResumeToken: c.token}},
			{"a token of points", "RESUME_TOKEN_INVALID", &runicornapiv1.TailLogsRequest{RunId: id, ResumeToken: points.token}},
			{"a damaged token", "RESUME_TOKEN_INVALID", &runicornapiv1.TailLogsRequest{RunId: id, ResumeToken: c.token[1:]}},
			{"two starts", "INVALID_REQUEST", &runicornapiv1.TailLogsRequest{RunId: id, Start: now, ResumeToken: c.token}},
			{"a refused id", "INVALID_REQUEST", &runicornapiv1.TailLogsRequest{RunId: "../etc"}},
			{"a heartbeat in no time", "INVALID_REQUEST", &runicornapiv1.TailLogsRequest{RunId: id, HeartbeatInterval: durationpb.New(1)}},
		} {
			step(t, tt.name, func() {
				apierrtest.WantError(t, startTailLogs(t, h, tt.req).finish(), codes.InvalidArgument, tt.reason)
			})
		}
		stream, err := h.Metrics.TailMetrics(t.Context(), &runicornapiv1.TailMetricsRequest{ResumeToken: c.token})
		if err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		apierrtest.WantError(t, err, codes.InvalidArgument, "RESUME_TOKEN_INVALID")
	})
}

func TestTailLogs_FailuresAndDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		draining := make(chan struct{})
		h := newHarnessWith(t, setup{config: func(d *Config) { d.Drain = drain.New(draining) }})
		var readers []*logReader
		for _, u := range h.Upstreams {
			id := u.AddRun(demotest.Run{Logs: []byte("one\n")})
			c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id, HeartbeatInterval: durationpb.New(1e9)})
			c.record(1)
			u.Fail(502)
			u.CloseLogs()
			isFailing := false
			c.until(func() bool {
				m, err := c.recv()
				if err != nil {
					t.Fatal(err)
				}
				isFailing = m.GetHeartbeat().GetUpstreamState() == runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING
				return isFailing
			})
			u.Restored()
			mustAppend(t, u, id, "two\n")
			c.record(2)
			readers = append(readers, c)
		}
		close(draining)
		for _, c := range readers {
			apierrtest.WantError(t, c.finish(), codes.Unavailable, "SERVER_DRAINING")
		}
	})
}

func TestTailLogs_LastLinesCountOneWithoutANewline(t *testing.T) {
	onEach(t, quickLogs, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		for status, n := range map[string]int32{"finished": 1, "running": 2} {
			step(t, status, func() {
				id := u.AddRun(demotest.Run{Status: status, Logs: []byte("a\nb\nc")})
				c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id, LastLines: &n})
				want := []string{"b", "c"}[2-n:]
				if status == "running" && u.Name != "v053" { // whose WebSocket ends every line
					want[1] = "c (partial)"
				}
				c.until(func() bool { return slices.Equal(c.texts(), want) })
			})
		}
	})
}

// TestTailLogs_PartialLine: a progress bar is sent before its newline, and replaced by
// the complete line; a client that resumes gets each complete line once.
func TestTailLogs_PartialLine(t *testing.T) {
	onEach(t, setup{}, func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream) {
		t.Helper()
		other := replica(t, h, nil)
		id := u.AddRun(demotest.Run{Logs: []byte("one\nbar 10%")})
		c := startTailLogs(t, h, &runicornapiv1.TailLogsRequest{Viewer: u.Name, RunId: id})
		last := func(text string) func() bool {
			return func() bool {
				texts := c.texts()
				return len(texts) > 0 && texts[len(texts)-1] == text
			}
		}
		c.until(last("bar 10% (partial)"))
		mustAppend(t, u, id, "\rbar 50%\r")
		c.until(last("bar 10%\rbar 50% (partial)"))
		c.connect(other)
		c.until(last("bar 10%\rbar 50% (partial)"))
		mustAppend(t, u, id, "bar 100%\n")
		c.until(last("bar 10%\rbar 50%\rbar 100%"))
		c.connect(h)
		mustAppend(t, u, id, "two\nend")
		c.until(last("end (partial)"))
		mustSet(t, u, id, "finished")
		if err := c.finish(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"one", "bar 10%\rbar 50%\rbar 100%", "two", "end"}, c.texts()); diff != "" {
			t.Error(diff)
		}
	}, demotest.Gen06, demotest.Gen07)
}
