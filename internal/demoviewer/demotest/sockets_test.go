package demotest

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// logServer is a demo Viewer over real HTTP with an empty storage.
func logServer(t *testing.T, gen Generation, wait time.Duration) (*Viewer, string) {
	t.Helper()
	v, err := New(Config{Generation: gen, Empty: true, LogWait: wait})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(v)
	t.Cleanup(server.Close)
	return v, server.URL
}

// dialLog opens the log of a run; the connection ends with the test.
func dialLog(t *testing.T, url, id string) *websocket.Conn {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	conn, _, err := websocket.Dial(t.Context(), url+"/api/runs/"+id+"/logs/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() }) // a test may have closed it
	conn.SetReadLimit(-1)
	return conn
}

// heard reads n texts, or fewer and how the connection was closed.
func heard(t *testing.T, conn *websocket.Conn, n int) []string {
	t.Helper()
	var texts []string
	for range n {
		_, text, err := conn.Read(t.Context())
		if err != nil {
			return append(texts, fmt.Sprint("closed ", int(websocket.CloseStatus(err))))
		}
		texts = append(texts, string(text))
	}
	return texts
}

// The expected values were recorded from real Viewers of 0.5.3 and 0.7.2.
func TestLogSocket_SendsWhatRealViewersSend(t *testing.T) {
	odd := []byte("one\r\n\n  \ntwo\r50%\r100%\nbad\xff\xfeend\nunterminated")
	many := func(n int) (text []byte) {
		for i := range n {
			text = fmt.Appendf(text, "l%d\n", i+1)
		}
		return text
	}
	for _, tt := range []struct {
		name   string
		gen    Generation
		status string
		log    []byte
		want   []string // skip may remove the first ones
		skip   int
	}{
		{"lines are frames, and blank ones are not", Gen05, "", odd, []string{"one", "two", "50%", "100%", "badend", "unterminated"}, 0},
		{"0.5 replaces the 10,001st line", Gen05, "", many(10003), []string{"l10000", logShortened, "l10002", "l10003"}, 9999},
		{"0.5 says nothing of 10,000 lines", Gen05, "finished", many(10000), []string{"l10000"}, 9999},
		{"0.7 shows the last 10,000", Gen07, "", many(10003), []string{"l4", "l5"}, 0},
		{"0.7 says so behind them", Gen07, "", many(10003), []string{"l10003", logShortened}, 9999},
		{"0.7 closes where a run has ended without a log", Gen07, "finished", nil, []string{logNone, "closed 1000"}, 0},
		{"0.7 gives up waiting", Gen07, "", nil, []string{demoviewer.LogWaiting, "", "", "", "", "", "", logNoneYet, "closed 1000"}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, url := logServer(t, tt.gen, time.Millisecond)
			id := v.AddRun(Run{Status: tt.status, Logs: tt.log})
			conn := dialLog(t, url, id)
			heard(t, conn, tt.skip)
			if diff := cmp.Diff(tt.want, heard(t, conn, len(tt.want))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLogSocket_FollowsTheFile(t *testing.T) {
	v, url := logServer(t, Gen05, 0)
	id := v.AddRun(Run{Logs: []byte("one\r")})
	conn := dialLog(t, url, id)
	got := heard(t, conn, 1)
	for _, text := range []string{"\npartial-", "rest\n", "\n", "two\nthree\n"} {
		if err := v.AppendLogs(id, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(text) != "" {
			got = append(got, heard(t, conn, 1)...)
		}
	}
	got = append(got, heard(t, conn, 1)...)
	if diff := cmp.Diff([]string{"one", "partial-", "rest", "two", "three"}, got); diff != "" {
		t.Error(diff)
	}
	if open, most := v.LogSockets(); open != 1 || most != 1 {
		t.Errorf("%d open, %d at most", open, most)
	}
	v.CloseLogs()
	if diff := cmp.Diff([]string{"closed -1"}, heard(t, conn, 1)); diff != "" {
		t.Error(diff)
	}
	if got := v.Requests(socketName); got != 1 {
		t.Errorf("%d handshakes", got)
	}
}

func TestLogSocket_OfAMissingFile(t *testing.T) {
	v, url := logServer(t, Gen07, 200*time.Millisecond)
	id := v.AddRun(Run{ID: "late"})
	conn := dialLog(t, url, id)
	if diff := cmp.Diff([]string{demoviewer.LogWaiting}, heard(t, conn, 1)); diff != "" {
		t.Error(diff)
	}
	if err := v.AppendLogs(id, []byte("late\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{logAvailable, "late"} {
		got := ""
		for got == "" {
			got = heard(t, conn, 1)[0]
		}
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	old, url := logServer(t, Gen05, time.Millisecond)
	id = old.AddRun(Run{})
	conn = dialLog(t, url, id)
	if diff := cmp.Diff([]string{demoviewer.LogWaiting}, heard(t, conn, 1)); diff != "" {
		t.Error(diff)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, text, err := conn.Read(ctx); err == nil {
		t.Errorf("a forgotten connection said %q", text)
	}
}

func TestLogSocket_RefusesLikeRealViewers(t *testing.T) {
	_, url := logServer(t, Gen05, 0)
	if diff := cmp.Diff([]string{demoviewer.LogRunMissing, "closed 1000"}, heard(t, dialLog(t, url, "nope"), 2)); diff != "" {
		t.Error(diff)
	}
	for _, path := range []string{"/api/xyz/ws", "/api/runs//logs/ws", "/api/runs/a%2fb/logs/ws"} {
		_, resp, err := websocket.Dial(t.Context(), url+path, nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestLiveRun_LogsText(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	v, err := New(Config{Live: true, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	before, _, _ := v.Log(v.LiveRun())
	now = now.Add(10 * time.Second)
	after, _, _ := v.Log(v.LiveRun())
	added, grew := bytes.CutPrefix(after, before)
	if !grew || !strings.Contains(string(added), " | step 001525 loss ") || bytes.Count(added, []byte("\n")) != 1 {
		t.Errorf("the log grew from %d to %d bytes, by %q", len(before), len(after), added)
	}
}
