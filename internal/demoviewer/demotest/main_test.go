package demotest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a clock set by tests.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time          { return c.at }
func (c *fakeClock) advance(d time.Duration) { c.at = c.at.Add(d) }

func newClock() *fakeClock { return &fakeClock{at: time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)} }

// bed is a demo Viewer behind a real HTTP server.
type bed struct {
	*Viewer
	t   *testing.T
	url string
}

func newBed(t *testing.T, cfg Config) *bed {
	t.Helper()
	v, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(v)
	t.Cleanup(srv.Close)
	return &bed{Viewer: v, t: t, url: srv.URL}
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request; headers are name, value pairs.
func (b *bed) ask(method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		b.t.Fatal(err)
	}
	return reply{status: resp.StatusCode, header: resp.Header, body: raw}
}

// get sends a GET and decodes the JSON answer.
func get[T any](b *bed, path string) T {
	b.t.Helper()
	r := b.ask("GET", path, "")
	var out T
	if err := json.Unmarshal(r.body, &out); err != nil {
		b.t.Fatalf("GET %s: %d %s: %v", path, r.status, r.body, err)
	}
	return out
}
