package restclient

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// logRecorder is a slog handler that keeps records as "LEVEL message key=value …".
type logRecorder struct {
	attrs []slog.Attr
	out   *logLines
}

type logLines struct {
	mu    sync.Mutex
	lines []string
}

func newLogRecorder() *logRecorder { return &logRecorder{out: &logLines{}} }

func (*logRecorder) Enabled(context.Context, slog.Level) bool { return true }

func (h *logRecorder) Handle(_ context.Context, r slog.Record) error {
	line := r.Level.String() + " " + r.Message
	add := func(a slog.Attr) bool { line += " " + a.String(); return true }
	for _, a := range h.attrs {
		add(a)
	}
	r.Attrs(add)
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	h.out.lines = append(h.out.lines, line)
	return nil
}

func (h *logRecorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logRecorder{attrs: slices.Concat(h.attrs, attrs), out: h.out}
}

func (h *logRecorder) WithGroup(string) slog.Handler { return h }

// take returns the lines since the last call.
func (h *logRecorder) take() []string {
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	lines := h.out.lines
	h.out.lines = nil
	return lines
}

// wantLines checks the beginnings of the lines.
func wantLines(t *testing.T, h *logRecorder, want ...string) {
	t.Helper()
	got := h.take()
	if !slices.EqualFunc(got, want, strings.HasPrefix) {
		t.Errorf("logged\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func withLog(h *logRecorder) func(*Config) {
	return func(cfg *Config) { cfg.Name, cfg.Log = "lab", slog.New(h) }
}

func TestLog_HasOneLinePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var err error
		h := newLogRecorder()
		c := bubbleClient(t, func(*http.Request) (*http.Response, error) {
			if err != nil {
				return nil, err
			}
			return response(200, `{}`), nil
		}, withLog(h))
		calls := func(n int) {
			for range n {
				_, _ = c.Config(t.Context()) // only the log matters
			}
		}
		calls(10)
		wantLines(t, h, "INFO viewer release known viewer=lab version=0.6.0 generation=0.6")
		c.caps.last.ProbedAt = time.Now().Add(time.Hour) // no probe is due
		err = refused
		calls(20)
		wantLines(t, h,
			"WARN viewer unreachable viewer=lab error=viewer unreachable",
			"WARN viewer refuses connections, calls fail at once viewer=lab retry_interval=1s")
		pass(t, time.Minute)
		err = nil
		calls(10)
		wantLines(t, h, "INFO viewer reachable again viewer=lab after=1m0")
	})
}

func TestLog_IsNotFloodedByAFlappingViewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newLogRecorder()
		l := newConnLog(slog.New(h), "lab")
		loss := &Error{Kind: KindUnreachable, Err: syscall.ECONNRESET}
		for range 100 { // for 9.9 s
			l.onFailure(loss)
			l.onAnswer()
			pass(t, 99*time.Millisecond)
		}
		wantLines(t, h, "WARN viewer unreachable", "INFO viewer reachable again")
		l.onFailure(loss) // too soon for another line
		wantLines(t, h)
		pass(t, minLossInterval)
		l.onFailure(loss)
		l.onFailure(loss)
		wantLines(t, h, "WARN viewer unreachable")
		pass(t, time.Hour)
		l.onAnswer()
		wantLines(t, h, "INFO viewer reachable again viewer=lab after=1h0m10s")
	})
}

func TestLog_OnlyMissingAnswersAreALoss(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  *Error
		lost bool
	}{
		{"a proxy without its Viewer", &Error{Kind: KindUnreachable, Status: 502}, true},
		{"a Viewer that is slow", &Error{Kind: KindTimeout}, false},
		{"a caller that left", &Error{Kind: KindCanceled}, false},
		{"a defect of the Viewer", &Error{Kind: KindServer, Status: 500}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newLogRecorder()
			newConnLog(slog.New(h), "lab").onFailure(tt.err)
			if got := len(h.take()) > 0; got != tt.lost {
				t.Errorf("a loss: %t, want %t", got, tt.lost)
			}
		})
	}
	h := newLogRecorder()
	l := newConnLog(slog.New(h), "lab")
	l.onFailure(&Error{Kind: KindUnreachable})
	l.onFailure(&Error{Kind: KindTimeout})
	wantLines(t, h, "WARN viewer unreachable")
	l.onFailure(&Error{Kind: KindNotFound, Status: 404})
	wantLines(t, h, "INFO viewer reachable again")
}

func TestLog_ReportsAnotherRelease(t *testing.T) {
	v := newViewer(t, "0.6.0")
	h := newLogRecorder()
	c := v.client(t, withLog(h))
	for _, version := range []string{"0.6.0", "0.6.0", "0.7.2"} {
		v.on("GET /openapi.json", answer(200, "application/json", fixture(t, version, "openapi")))
		if _, err := c.probe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	wantLines(t, h,
		"INFO viewer release known viewer=lab version=0.6.0 generation=0.6",
		"INFO viewer release changed viewer=lab version=0.7.2 generation=0.7 previous_version=0.6.0")
}

func TestLog_ReportsALostLogStream(t *testing.T) {
	for _, tt := range []struct {
		name string
		talk talk
		n    int
		want string
	}{
		{"closed by the Viewer", says("one", "two"), 9, "WARN log stream lost viewer=lab run_id=a-run error=answer cut off"},
		{"failed in the Viewer", says("one", "[error] cannot read /home/me/logs.txt"), 9, "WARN log stream lost viewer=lab run_id=a-run error=cannot read <path>"},
		{"ended by the caller", stays("one", "two"), 2, ""},
		{"of no run", says(msgNoRun), 9, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newLogRecorder()
			v := newLogViewer(t, "0.5.3", tt.talk)
			if _, err := collect(t, v.logClient(t, withLog(h)), tt.n); err == nil {
				t.Fatal("no error")
			}
			want := []string{"INFO viewer release known"}
			if tt.want != "" {
				want = append(want, tt.want)
			}
			wantLines(t, h, want...)
		})
	}
}

func TestLog_ContainsNoSecret(t *testing.T) {
	const password = "hunter2-hunter2"
	h := newLogRecorder()
	c := bubbleClient(t, func(_ *http.Request) (*http.Response, error) {
		return nil, &netError{syscall.ECONNRESET}
	}, withLog(h))
	err := c.SaveConnection(t.Context(), SaveRequest{
		Login: Login{Endpoint: Endpoint{Host: "gpu", Port: 22, Username: "me"}, Password: password}, Remember: true,
	})
	if err == nil {
		t.Fatal("no error")
	}
	c.connLog.onFailure(&Error{Kind: KindUnreachable, Err: &netError{syscall.EPIPE}})
	c.connLog.onLogStreamEnd("x", &Error{Kind: KindCutOff, Err: &quoting{password}})
	lines := strings.Join(h.take(), "\n")
	if lines == "" || strings.Contains(lines, password) {
		t.Errorf("logged %q", lines)
	}
}

// quoting is an error that repeats what was sent.
type quoting struct{ text string }

func (e *quoting) Error() string { return "malformed: " + e.text }
