package faultproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAnswersAreBrokenAsTheRuleSays(t *testing.T) {
	cases := map[string]struct {
		rule   Rule
		status int
		body   string
		err    error
	}{
		"no fault passes":                        {Rule{}, 200, "0123456789", nil},
		"another path passes":                    {Rule{Path: "/other", Status: 500}, 200, "0123456789", nil},
		"another method passes":                  {Rule{Method: "POST", Status: 500}, 200, "0123456789", nil},
		"a path with a star matches":             {Rule{Path: "/a*", Status: 503}, 503, "", nil},
		"a status of its own":                    {Rule{Status: 429, Body: "slow down"}, 429, "slow down", nil},
		"a body cut in order lacks its end":      {Rule{Cut: CutClean, CutAfter: 4}, 200, "0123", io.ErrUnexpectedEOF},
		"a body cut by a reset":                  {Rule{Cut: CutReset, CutAfter: 4}, 200, "0123", syscall.ECONNRESET},
		"a body cut at once":                     {Rule{Cut: CutClean}, 200, "", io.ErrUnexpectedEOF},
		"a short body that looks whole":          {Rule{Cut: CutShort, CutAfter: 4}, 200, "0123", nil},
		"a length that promises more than comes": {Rule{ContentLength: 99}, 200, "0123456789", io.ErrUnexpectedEOF},
		"an own answer can be cut":               {Rule{Status: 500, Body: "0123456789", ContentLength: 10, Cut: CutClean, CutAfter: 2}, 500, "01", io.ErrUnexpectedEOF},
		"a slow body comes whole":                {Rule{BytesPerSecond: 500}, 200, "0123456789", nil},
		"a body with pauses comes whole":         {Rule{Pause: time.Millisecond}, 200, "0123456789", nil},
		"a delayed answer comes":                 {Rule{Delay: time.Millisecond}, 200, "0123456789", nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, text("0123456789"))
			b.Add(&c.rule)
			status, _, body, err := b.ask("/a/b")
			if status != c.status || body != c.body || !errors.Is(err, c.err) {
				t.Errorf("got %d %q %v, want %d %q %v", status, body, err, c.status, c.body, c.err)
			}
		})
	}
}

func TestHeadersOfTheRuleAreInTheAnswer(t *testing.T) {
	b := newBed(t, text(""))
	b.Add(&Rule{Status: 200, Body: "<html>", Header: map[string]string{"Content-Type": "text/html", "Retry-After": "7"}})
	_, header, _, err := b.ask("/")
	if err != nil || header.Get("Content-Type") != "text/html" || header.Get("Retry-After") != "7" {
		t.Errorf("headers %v, error %v", header, err)
	}
}

func TestGarbageIsNoHTTP(t *testing.T) {
	b := newBed(t, text("fine"))
	b.Add(&Rule{Garbage: true, Body: "\x00\x01 no HTTP\r\n\r\n"})
	if _, _, _, err := b.ask("/"); err == nil {
		t.Error("the client understood garbage")
	}
}

func TestARuleIsUsedUpAfterItsTimes(t *testing.T) {
	b := newBed(t, text("fine"))
	b.Add(&Rule{Status: 500, Times: 2}, &Rule{Status: 404, Times: 1})
	var got []int
	for range 4 {
		status, _, _, _ := b.ask("/x")
		got = append(got, status)
	}
	if want := "[500 500 404 200]"; fmt.Sprint(got) != want {
		t.Errorf("statuses %v, want %s", got, want)
	}
	if b.Requests("GET", "/x") != 4 || b.Total() != 4 || b.Requests("POST", "/x") != 0 {
		t.Errorf("counted %d of %d", b.Requests("GET", "/x"), b.Total())
	}
}

func TestClearedRulesBreakNothing(t *testing.T) {
	b := newBed(t, text("fine"))
	b.Add(&Rule{Status: 500})
	b.Clear()
	if status, _, _, _ := b.ask("/"); status != 200 {
		t.Errorf("status %d", status)
	}
}

func TestSlowAnswersTakeTheirTime(t *testing.T) {
	for name, rule := range map[string]Rule{
		"a delay before the headers": {Delay: 80 * time.Millisecond},
		"bytes per second":           {BytesPerSecond: 100}, // ten bytes
		"a pause before a piece":     {Pause: 80 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, text("0123456789"))
			b.Add(&rule)
			begin := time.Now()
			if _, _, _, err := b.ask("/"); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < 75*time.Millisecond {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestHeldCallsGoOnWhenReleased(t *testing.T) {
	b := newBed(t, text("fine"))
	gate := NewBarrier()
	b.Add(&Rule{Hold: gate})
	done := make(chan string, 2)
	for range 2 {
		go func() {
			_, _, body, err := b.ask("/")
			done <- fmt.Sprint(body, err)
		}()
	}
	if !gate.Wait(t.Context().Done(), 2) || gate.Arrived() != 2 {
		t.Fatal("the calls did not come")
	}
	select {
	case early := <-done:
		t.Fatalf("a held call was answered: %s", early)
	default:
	}
	gate.Release()
	for range 2 {
		if got := <-done; got != "fine<nil>" {
			t.Errorf("got %s", got)
		}
	}
}

func TestAHeldCallEndsWithItsCallerOrTheProxy(t *testing.T) {
	b := newBed(t, text("fine"))
	gate := NewBarrier()
	b.Add(&Rule{Hold: gate})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.URL(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 2)
	go func() { _, err := b.client.Do(req); ended <- err }()
	gate.Wait(t.Context().Done(), 1)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the caller's error: %v", err)
	}
	go func() { _, _, _, err := b.ask("/"); ended <- err }()
	gate.Wait(t.Context().Done(), 2)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err == nil {
		t.Error("a call outlived the proxy")
	}
}

func TestADownProxyRefusesAndComesBackWhereItWas(t *testing.T) {
	b := newBed(t, text("fine"))
	at := b.URL()
	if err := b.Down(); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := b.ask("/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while down: %v", err)
	}
	for range 2 { // the second time changes nothing
		if err := b.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, body, err := b.ask("/"); body != "fine" || err != nil || b.URL() != at {
		t.Errorf("back: %q %v at %s, was at %s", body, err, b.URL(), at)
	}
}

func TestTheTargetCanBeReplaced(t *testing.T) {
	b := newBed(t, text("old"))
	if err := b.SetTarget(serve(t, text("new"))); err != nil {
		t.Fatal(err)
	}
	if _, _, body, _ := b.ask("/"); body != "new" {
		t.Errorf("got %q", body)
	}
	for _, bad := range []string{"", "no-host", "http://[::1"} {
		if err := b.SetTarget(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestADeadServerBehindLooksLikeADroppedConnection(t *testing.T) {
	b := newBed(t, text("fine"))
	if err := b.SetTarget("http://127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	if status, _, _, err := b.ask("/"); err == nil {
		t.Errorf("status %d", status)
	}
}

func TestTheServerBehindSeesTheCallersRequest(t *testing.T) {
	seen := make(chan *http.Request, 1)
	b := newBed(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	if _, _, _, err := b.ask("/a%2Fb?x=1"); err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if r.URL.EscapedPath() != "/a%2Fb" || r.URL.RawQuery != "x=1" || r.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("path %s, query %s, headers %v", r.URL.EscapedPath(), r.URL.RawQuery, r.Header)
	}
}

func TestUpgradedConnectionsPassAndEndWithTheProxy(t *testing.T) {
	b := newBed(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		_ = rw.Flush()
		_, _ = io.Copy(conn, rw) // ends when the proxy closes the connection
		_ = conn.Close()
	})
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(b.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	send := func(text string) {
		t.Helper()
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
	}
	send("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	send("hello\n")
	if line, err := r.ReadString('\n'); line != "hello\n" {
		t.Errorf("echo %q %v", line, err)
	}
	if err := b.Down(); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection outlived the proxy")
	}
}
