package restclient

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
)

func TestStreamLog_SeparatesLinesFromMessages(t *testing.T) {
	long := strings.Repeat("x", MaxLogLine)
	for _, tt := range []struct {
		name, version string
		talk          talk
		want          []LogLine
		kind          Kind // of the error; 0: the test stops the stream
	}{
		{"a frame is a line", "0.5.3", stays("one", "zwei: ü", " three"), lines("one", "zwei: ü", " three"), 0},
		{"the parts of a line that was half written are lines", "0.5.3", stays("partial-", "rest"), lines("partial-", "rest"), 0},
		{
			"a line equal to a message is a line where the Viewer sends none", "0.5.3",
			stays("one", msgWaiting, msgAvailable, msgShortened, "[info] epoch 1"),
			lines("one", msgWaiting, msgAvailable, msgShortened, "[info] epoch 1"), 0,
		},
		{
			"a line of an error is a line when the connection continues, at once or later", "0.5.3",
			stays("[error] out of memory", "[error] giving up"), lines("[error] out of memory", "[error] giving up"), 0,
		},
		{"empty frames are signs of life", "0.7.2", stays("", msgWaiting, "", "", msgAvailable, "", "one"), lines("one"), 0},
		{
			"an announcement that nobody waits for is a line", "0.5.3",
			stays(msgAvailable, "one"), lines(msgAvailable, "one"), 0,
		},
		{
			"the line that 0.5 replaces by a notice is reported as lost", "0.5.3",
			stays(slices.Concat(numbered(1, 10000), []string{msgShortened}, numbered(10002, 10004))...),
			slices.Concat(lines(numbered(1, 10000)...), []LogLine{{Lost: true}}, lines(numbered(10002, 10004)...)), 0,
		},
		{
			"0.7 shows the last lines only, which cannot be counted", "0.7.2",
			stays(append(numbered(6, 10005), msgShortened)...), lines(numbered(6, 10005)...), KindUnsupported,
		},
		{
			"a line beyond the bound is cut and does not end the stream", "0.5.3", stays(long+"tail", long, "next"),
			[]LogLine{{Text: long, Truncated: true}, {Text: long}, {Text: "next"}},
			0,
		},
		{"no such run", "0.5.3", says(msgNoRun), nil, KindNotFound},
		{"a connection that ends was cut off", "0.5.3", says("one"), lines("one"), KindCutOff},
		{"a connection that ends after an hour was cut off", "0.5.3", says("one", msgTimeout), lines("one"), KindCutOff},
		{"an error of the Viewer", "0.5.3", says("one", "[error] cannot open /home/ann/logs.txt"), lines("one"), KindServer},
		{"no such run among lines is a failure", "0.5.3", says("one", msgNoRun), lines("one"), KindServer},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := len(tt.want)
			if tt.kind != 0 {
				want = -1
			}
			got, err := collect(t, newLogViewer(t, tt.version, tt.talk).logClient(t), want)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
			if tt.kind == 0 {
				if !errors.Is(err, errStop) {
					t.Errorf("the stream ended with %v", err)
				}
				return
			}
			e := typed(t, err, tt.kind)
			if e.Route != "/api/runs/{run_id}/logs/ws" || e.Capability != capLogStream || strings.Contains(e.Error(), "/home/") {
				t.Errorf("error %+v", e)
			}
		})
	}
}

// The first connections come before the file exists: 0.5 becomes silent, 0.7 closes, and
// either may be restarted meanwhile.
func TestStreamLog_ReconnectsUntilThereIsALog(t *testing.T) {
	for _, tt := range []struct {
		name  string
		early talk
	}{
		{"0.5 falls silent", stays(msgWaiting)},
		{"0.7 gives up", says(msgWaiting, "", "", msgNoneYet)},
		{"0.7 does not begin for a run that has ended", says(msgNone)},
		{"the connection ends while it waits", says(msgWaiting)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v := newLogViewer(t, "0.5.3", func(ctx context.Context, conn *websocket.Conn, n int64) {
				if n < 3 {
					tt.early(ctx, conn, n)
					return
				}
				stays("first", "second")(ctx, conn, n)
			})
			got, err := collect(t, v.logClient(t), 2)
			if diff := cmp.Diff(lines("first", "second"), got); diff != "" || !errors.Is(err, errStop) {
				t.Errorf("%v, %s", err, diff)
			}
			if v.dials.Load() != 3 {
				t.Errorf("%d connections", v.dials.Load())
			}
		})
	}
}

func TestStreamLog_LimitsConnectionsPerRun(t *testing.T) {
	v := newLogViewer(t, "0.5.3", stays("one"))
	c := v.logClient(t)
	arrived, holdFrames := make(chan struct{}), make(chan struct{})
	stay := func(LogLine) error {
		arrived <- struct{}{}
		<-holdFrames
		return errStop
	}
	var clients sync.WaitGroup
	for range runLogStreams {
		clients.Go(func() {
			if err := c.StreamLog(t.Context(), "a-run", stay, func() {}); !errors.Is(err, errStop) {
				t.Error(err)
			}
		})
	}
	for range runLogStreams {
		<-arrived
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantKind(t, c.StreamLog(late, "a-run", func(LogLine) error { return nil }, func() {}), KindCanceled)
	if v.dials.Load() != runLogStreams {
		t.Errorf("%d connections while %d are held", v.dials.Load(), runLogStreams)
	}
	close(holdFrames)
	clients.Wait()
	if _, err := collect(t, c, 1); !errors.Is(err, errStop) {
		t.Errorf("when the others have left: %v", err)
	}
	if len(c.logs.open) != 0 || len(c.logs.slots) != 0 {
		t.Errorf("left behind: %d logs, %d slots", len(c.logs.open), len(c.logs.slots))
	}
}

func TestStreamLog_DetectsTheEndOfTheReplay(t *testing.T) {
	next := make(chan struct{})
	for _, tt := range []struct {
		name string
		talk talk
		want []string
	}{
		{"after the existing lines", func(ctx context.Context, conn *websocket.Conn, _ int64) {
			send(ctx, conn, "one", "two")
			<-next
			stays("three")(ctx, conn, 0)
		}, []string{"one", "two", "at rest", "three"}},
		{"at once where there is no log", func(ctx context.Context, conn *websocket.Conn, _ int64) {
			send(ctx, conn, msgWaiting)
			<-next
			stays(msgAvailable, "three")(ctx, conn, 0)
		}, []string{"at rest", "three"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newLogViewer(t, "0.5.3", tt.talk).logClient(t)
			c.logs.timeouts.file = time.Minute
			var got []string
			err := c.StreamLog(t.Context(), "a-run", func(line LogLine) error {
				if got = append(got, line.Text); line.Text == "three" {
					return errStop
				}
				return nil
			}, func() { got = append(got, "at rest"); next <- struct{}{} })
			if diff := cmp.Diff(tt.want, got); diff != "" || !errors.Is(err, errStop) {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

// A Viewer polls for new lines every 200 ms, and a busy script has written some by then,
// every time.
func TestStreamLog_DetectsTheEndOfTheReplayOfAGrowingLog(t *testing.T) {
	replayDone := make(chan struct{})
	c := newLogViewer(t, "0.5.3", func(ctx context.Context, conn *websocket.Conn, _ int64) {
		send(ctx, conn, numbered(1, 500)...)
		polls := time.NewTicker(logPoll)
		defer polls.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-replayDone:
				send(ctx, conn, "the last one")
				<-ctx.Done()
				return
			case <-polls.C:
				send(ctx, conn, "new", "new")
			}
		}
	}).logClient(t)
	c.logs.timeouts = defaultLogTimeouts()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	before := 0
	err := c.StreamLog(ctx, "a-run", func(line LogLine) error {
		if before++; line.Text == "the last one" {
			return errStop
		}
		return nil
	}, func() {
		if before < 500 {
			t.Errorf("at rest behind %d lines", before)
		}
		close(replayDone)
	})
	if !errors.Is(err, errStop) {
		t.Errorf("behind %d lines: %v", before, err)
	}
}

// A pause in the middle of the replay does not end it: the Viewer or its disk may be busy.
func TestLogProtocol_OneQuietPingDoesNotEndTheReplay(t *testing.T) {
	rests, pings := 0, 0
	talk := &logProtocol{timeouts: defaultLogTimeouts(), onReplayDone: func() { rests++ }}
	recvMessage := func(text string) {
		if err := talk.handleFrame(frame{text: text}, func(LogLine) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	silence := func(timeout time.Duration) {
		if talk.timeout() != timeout {
			t.Fatalf("waits %v for the next line, want %v", talk.timeout(), timeout)
		}
		if err := talk.onTimeout(func() { pings++ }, nil); err != nil {
			t.Fatal(err)
		}
	}
	silence(talk.timeouts.first)
	recvMessage("one") // before the pong
	talk.onPong()
	silence(talk.timeouts.silence)
	talk.onPong()
	recvMessage("two")
	if rests != 0 || pings != 2 {
		t.Fatalf("%d pings, at rest %d times in the middle of the replay", pings, rests)
	}
	silence(talk.timeouts.silence)
	talk.onPong()
	if rests != 1 || pings != 3 || talk.timeout() != 0 {
		t.Errorf("%d pings, at rest %d times, waits %v", pings, rests, talk.timeout())
	}
}

func TestStreamLog_ClosesTheConnectionWhenItsCallerLeaves(t *testing.T) {
	code := make(chan websocket.StatusCode, 1)
	v := newLogViewer(t, "0.5.3", func(context.Context, *websocket.Conn, int64) {})
	v.on(logRoute, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		send(r.Context(), conn, "one")
		_, _, err = conn.Read(context.WithoutCancel(r.Context()))
		code <- websocket.CloseStatus(err)
	})
	var rec recorder
	c := v.logClient(t, func(cfg *Config) { cfg.Observer = &rec })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.StreamLog(ctx, "a-run", func(LogLine) error { cancel(); return nil }, func() {})
	wantKind(t, err, KindCanceled)
	if got := <-code; got != websocket.StatusNormalClosure {
		t.Errorf("the Viewer heard %v", got)
	}
	seen := rec.all()
	last := seen[len(seen)-1]
	if last.Route != "/api/runs/{run_id}/logs/ws" || last.Status != http.StatusSwitchingProtocols || last.Bytes != 3 {
		t.Errorf("observed %+v", last)
	}
	for _, r := range v.requests() {
		if r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Origin") != "" || r.Header.Get("User-Agent") != "runicorn-grpc" ||
			r.Header.Get("Sec-Websocket-Extensions") != "" {
			t.Errorf("sent %v", r.Header)
		}
	}
}

// A stream lasts for hours, most of which cost the Viewer nothing. Charged as background
// work, it would block other background work for days.
func TestStreamLog_IsNotChargedForItsDuration(t *testing.T) {
	t.Parallel()
	const pause = 2 * time.Second // much longer than opening takes on a busy machine
	c := newLogViewer(t, "0.5.3", func(ctx context.Context, conn *websocket.Conn, _ int64) {
		select {
		case <-time.After(pause):
			send(ctx, conn, "one")
		case <-ctx.Done():
		}
		<-ctx.Done()
	}).logClient(t)
	err := c.Background(t.Context(), "log", func(ctx context.Context) error {
		return c.StreamLog(ctx, "a-run", func(LogLine) error { return errStop }, func() {})
	})
	if cost := c.Cost("log"); !errors.Is(err, errStop) || cost > pause/2 {
		t.Errorf("%v, cost %v of a stream that waits %v", err, cost, pause)
	}
}

func TestStreamLog_FailsLikeOtherCalls(t *testing.T) {
	status := func(code int) http.HandlerFunc { return answer(code, "text/plain", nil) }
	for _, tt := range []struct {
		name string
		run  string
		h    http.HandlerFunc
		kind Kind
	}{
		{"a Viewer without the route", "a-run", status(http.StatusForbidden), KindUnsupported},
		{"a proxy that knows no WebSockets", "a-run", status(http.StatusNotFound), KindUnsupported},
		{"a page instead of a handshake", "a-run", answer(200, "text/html", []byte("<html>")), KindUnsupported},
		{"JSON instead of a handshake", "a-run", jsonAnswer(`{}`), KindMalformed},
		{"a redirect", "a-run", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusTemporaryRedirect)
		}, KindMalformed},
		{"a proxy without its Viewer", "a-run", status(http.StatusBadGateway), KindUnreachable},
		{"a proxy that waits in vain", "a-run", status(http.StatusGatewayTimeout), KindTimeout},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.5.3")
			v.on(logRoute, tt.h)
			err := v.client(t).StreamLog(t.Context(), tt.run, func(LogLine) error { return nil }, func() {})
			typed(t, err, tt.kind)
		})
	}
	v := newViewer(t, "0.5.3")
	for _, id := range []string{"", "..", "a/b", "a%2f..", "a\nb"} {
		err := v.client(t).StreamLog(t.Context(), id, func(LogLine) error { return nil }, func() {})
		if _, refused := errors.AsType[*IDError](err); !refused {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if got := v.requests(); len(got) > 0 {
		t.Errorf("sent %v", got)
	}
	v.Close()
	wantKind(t, v.client(t).StreamLog(t.Context(), "a-run", func(LogLine) error { return nil }, func() {}), KindUnreachable)
}

func TestLogFile_IsReadByRange(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/a-run", jsonAnswer(`{"id":"a-run","run_dir":"/data/a-run","logs":"/data/a-run/logs.txt"}`))
	v.on("GET /api/runs/a-run/assets/download", func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.Query().Get("path") + " " + r.Header.Get("Range"); got != "/data/a-run/logs.txt bytes=2-5" {
			t.Errorf("asked for %s", got)
		}
		w.Header().Set("Content-Range", "bytes 2-5/9")
		answer(206, "text/plain", []byte("e\ntw"))(w, r)
	})
	part, err := v.client(t).ReadFile(t.Context(), "a-run", FileLogs, 2, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer part.Close()
	if part.State != FileRanged || part.Size != 9 {
		t.Errorf("got %+v", part)
	}
}
