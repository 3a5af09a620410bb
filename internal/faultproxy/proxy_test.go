package faultproxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

func TestProxy_AppliesRules(t *testing.T) {
	for name, tt := range map[string]struct {
		rule   Rule
		status int
		body   string
		cut    bool
	}{
		"no fault":                    {Rule{Path: "/other", Status: 500}, 200, "0123456789", false},
		"its own answer":              {Rule{Path: "/a", Status: 503, Body: "{}"}, 503, "{}", false},
		"a connection that is reset":  {Rule{ResetAfter: 4}, 200, "0123", true},
		"a reset after the last byte": {Rule{ResetAfter: 11}, 200, "0123456789", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, text("0123456789"))
			b.Add(&tt.rule)
			status, body, err := b.ask("/a/b")
			if status != tt.status || !strings.HasPrefix(tt.body, body) || !tt.cut && body != tt.body || (err != nil) != tt.cut {
				t.Errorf("got %d, %q, %v", status, body, err)
			}
			if n := b.Requests(http.MethodGet, "/a/b"); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestProxy_AppliesARuleForItsTimes(t *testing.T) {
	b := newBed(t, text("fine"))
	b.Add(&Rule{Status: 500, Times: 2}, &Rule{Status: 404, Times: 1})
	var got []int
	for range 4 {
		status, _, _ := b.ask("/x")
		got = append(got, status)
	}
	if want := "[500 500 404 200]"; fmt.Sprint(got) != want {
		t.Errorf("statuses %v, want %s", got, want)
	}
	if b.Requests("GET", "/x") != 4 || b.Requests("POST", "/x") != 0 {
		t.Errorf("counted %d of %d", b.Requests("GET", "/x"), b.Requests(http.MethodGet, "/"))
	}
}

func TestProxy_DownAndUp(t *testing.T) {
	b := newBed(t, text("fine"))
	at := b.URL()
	if err := b.Down(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.ask("/"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("while down: %v", err)
	}
	for range 2 { // the second time changes nothing
		if err := b.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if _, body, err := b.ask("/"); body != "fine" || err != nil || b.URL() != at {
		t.Errorf("back: %q %v at %s, was at %s", body, err, b.URL(), at)
	}
}

func TestProxy_ForwardsTheRequestUnchanged(t *testing.T) {
	seen := make(chan *http.Request, 1)
	b := newBed(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r })
	if _, _, err := b.ask("/a%2Fb?x=1"); err != nil {
		t.Fatal(err)
	}
	r := <-seen
	if r.URL.EscapedPath() != "/a%2Fb" || r.URL.RawQuery != "x=1" || r.Header.Get("X-Forwarded-For") != "" {
		t.Errorf("path %s, query %s, headers %v", r.URL.EscapedPath(), r.URL.RawQuery, r.Header)
	}
}

func TestProxy_ForwardsUpgradesAndClosesThem(t *testing.T) {
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
