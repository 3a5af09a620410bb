package restclient

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// prefix is the path prefix of the fake Viewer: requests without it fail.
const prefix = "/behind/a%20proxy"

// versions are the releases with recorded answers.
var versions = []struct{ version, generation string }{
	{"0.5.3", Generation05}, {"0.6.0", Generation06}, {"0.7.2", Generation07},
}

// seen is one received request.
type seen struct {
	Method, Path, Query, Body string
	Header                    http.Header
}

// fakeViewer serves recorded or made-up answers over a real socket.
type fakeViewer struct {
	*httptest.Server
	version string
	mu      sync.Mutex
	routes  map[string]http.HandlerFunc // "GET /api/runs"
	seen    []seen
}

// newViewer starts a Viewer with the description of a release. Routes without an answer are
// 404.
func newViewer(t *testing.T, version string) *fakeViewer {
	t.Helper()
	v := &fakeViewer{version: version, routes: make(map[string]http.HandlerFunc)}
	v.Server = httptest.NewServer(v)
	t.Cleanup(v.Close)
	v.on("GET /openapi.json", answer(200, "application/json", fixture(t, version, "openapi")))
	return v
}

// client returns a client of the Viewer; change may adjust its configuration.
func (v *fakeViewer) client(t *testing.T, change ...func(*Config)) *Client {
	t.Helper()
	cfg := Config{BaseURL: v.URL + prefix}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// on sets the answer of a route.
func (v *fakeViewer) on(route string, h http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.routes[route] = h
}

// ServeHTTP records the request and answers it.
func (v *fakeViewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has disconnected
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), prefix)
	v.mu.Lock()
	v.seen = append(v.seen, seen{r.Method, path, r.URL.RawQuery, string(body), r.Header.Clone()})
	h := v.routes[r.Method+" "+path]
	v.mu.Unlock()
	if !ok || h == nil {
		answer(404, "application/json", []byte(`{"detail":"Not Found"}`))(w, r)
		return
	}
	h(w, r)
}

// requests returns the received requests, without probes for capabilities.
func (v *fakeViewer) requests() []seen {
	v.mu.Lock()
	defer v.mu.Unlock()
	var out []seen
	for _, s := range v.seen {
		if s.Path != "/openapi.json" {
			out = append(out, s)
		}
	}
	return out
}

// probes returns how often the routes were probed.
func (v *fakeViewer) probes() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, s := range v.seen {
		if s.Path == "/openapi.json" {
			n++
		}
	}
	return n
}

func answer(status int, contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = w.Write(body) // the client may have disconnected
	}
}

func jsonAnswer(body string) http.HandlerFunc { return answer(200, "application/json", []byte(body)) }

// fixture returns a recorded answer of a release.
func fixture(tb testing.TB, version, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", version, name+".json"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// plainFixture returns a recorded answer that is not JSON.
func plainFixture(tb testing.TB, version, name string) []byte {
	tb.Helper()
	var wrapped struct {
		Body string `json:"_non_json_body"`
	}
	if err := json.Unmarshal(fixture(tb, version, name), &wrapped); err != nil {
		tb.Fatal(err)
	}
	return []byte(wrapped.Body)
}

// wantKind checks that err is an *Error of a kind.
func wantKind(tb testing.TB, err error, kind Kind) {
	tb.Helper()
	_ = typed(tb, err, kind)
}

// typed is wantKind and returns the error.
func typed(tb testing.TB, err error, kind Kind) *Error {
	tb.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		tb.Fatalf("got %v (%T), want an *Error: %v", err, err, kind)
	}
	if e.Kind != kind {
		tb.Fatalf("got %q (%v), want %q", e.Kind, err, kind)
	}
	return e
}

// roundTrip is a transport made of a function, for tests with a fake clock.
type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// response returns an answer for a roundTrip.
func response(status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		Header: http.Header{"Content-Type": {"application/json"}},
	}
}

// bubbleClient returns a client without sockets, for synctest. The routes of 0.6.0 are
// known without a probe.
func bubbleClient(t *testing.T, f roundTrip, change ...func(*Config)) *Client {
	t.Helper()
	doc := fixture(t, "0.6.0", "openapi")
	cfg := Config{BaseURL: "http://viewer.test", Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/openapi.json" {
			return response(200, string(doc)), nil
		}
		return f(req)
	})}
	for _, f := range change {
		f(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// pass advances the clock of a bubble.
func pass(t *testing.T, d time.Duration) {
	t.Helper()
	if err := sleep(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}
