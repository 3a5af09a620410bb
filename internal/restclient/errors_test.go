package restclient

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// recorder is an Observer that keeps its observations.
type recorder struct {
	mu  sync.Mutex
	obs []Observation
}

func (r *recorder) Observe(o Observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.obs = append(r.obs, o)
}

func (r *recorder) all() []Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Observation(nil), r.obs...)
}

func TestKindOf_CoversEveryStatus(t *testing.T) {
	for status := 100; status <= 599; status++ {
		kind := kindOf(status)
		if kind == 0 || strings.HasPrefix(kind.String(), "kind ") {
			t.Errorf("status %d has the kind %v", status, kind)
		}
		if want := status >= 400 && status < 500; want && kind == KindServer {
			t.Errorf("status %d blames the Viewer", status)
		}
	}
}

func TestClient_EveryStatusIsATypedError(t *testing.T) {
	status := 0
	c := bubbleClient(t, func(*http.Request) (*http.Response, error) { return response(status, `{"detail":"x"}`), nil })
	for status = 201; status <= 599; status++ {
		c.budget.tokens = 0 // no retries, to save time
		_, err := c.Config(t.Context())
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Status != status || e.Method != "GET" || e.Route != "/api/config" || e.Capability != capConfig {
			t.Fatalf("status %d: got %v", status, err)
		}
	}
}

func TestClient_Errors(t *testing.T) {
	const runs = "GET /api/runs/x"
	fx := func(version, name string) []byte { return fixture(t, version, name) }
	for _, tt := range []struct {
		name        string
		status      int
		contentType string
		body        []byte
		want        Error
	}{
		{
			"a missing run", 404, "application/json", fx("0.6.0", "run_404"),
			Error{Kind: KindNotFound, Detail: "Run not found", Resource: "run", ResourceID: "x"},
		},
		{
			"a missing route", 404, "application/json", fx("0.6.0", "unknown_route"),
			Error{Kind: KindUnsupported, Detail: "Not Found", ViewerVersion: "0.6.0"},
		},
		{
			"a 404 of something else than a Viewer", 404, "text/html", []byte("<html>nginx"),
			Error{Kind: KindUnsupported, ViewerVersion: "0.6.0"},
		},
		{
			"the page of 0.7.2 for routes it lacks", 200, "text/html; charset=utf-8", plainFixture(t, "0.7.2", "unknown_route"),
			Error{Kind: KindUnsupported, Detail: "the answer is a web page", ViewerVersion: "0.6.0"},
		},
		{
			"a wrong method", 405, "application/json", []byte(`{"detail":"Method Not Allowed"}`),
			Error{Kind: KindUnsupported, Detail: "Method Not Allowed", ViewerVersion: "0.6.0"},
		},
		{
			"a feature that is not in this build", 501, "application/json", fx("0.6.0", "export_csv"),
			Error{Kind: KindUnsupported, Detail: "Export functionality not available", ViewerVersion: "0.6.0"},
		},
		{
			"a part that is not in this build", 503, "application/json", fx("0.7.2", "run_asset_refs"),
			Error{Kind: KindUnsupported, Detail: "Storage backend not available", ViewerVersion: "0.6.0"},
		},
		{"a proxy without a Viewer", 503, "text/html", []byte("busy"), Error{Kind: KindUnreachable}},
		{"an invalid parameter", 422, "application/json", fx("0.6.0", "metrics_step_422"), Error{
			Kind: KindBadRequest, Detail: "the request was refused",
			Violations: []Violation{{Loc: []string{"query", "downsample"}, Message: "Input should be greater than or equal to 100"}},
		}},
		{
			"a 422 that echoes a password", 422, "application/json",
			[]byte(`{"detail":[{"type":"int_parsing","loc":["body",0],"msg":"bad","input":"hunter2","ctx":{"error":"hunter2"}}]}`),
			Error{
				Kind: KindBadRequest, Detail: "the request was refused",
				Violations: []Violation{{Loc: []string{"body", "0"}, Message: "bad"}},
			},
		},
		{
			"a 422 in one string", 422, "application/json", []byte(`{"detail":"file is required"}`),
			Error{Kind: KindBadRequest, Detail: "file is required"},
		},
		{
			"a bad id", 400, "application/json", fx("0.6.0", "soft_delete_bad_id"),
			Error{Kind: KindBadRequest, Detail: "Invalid run_id format: nope"},
		},
		{
			"too many calls", 429, "application/json", fx("0.7.2", "rate_limited_429"),
			Error{Kind: KindRateLimited, Detail: "Rate limit exceeded", RetryAfter: 10 * time.Second},
		},
		{
			"an uncaught error", 500, "text/plain; charset=utf-8", []byte("Internal Server Error"),
			Error{Kind: KindServer, Detail: "Internal Server Error"},
		},
		{
			"an error with a path", 500, "application/json", []byte(`{"detail":"[Errno 13] Permission denied: '/home/me/runs/a'"}`),
			Error{Kind: KindServer, Detail: "[Errno 13] Permission denied: '<path>'"},
		},
		{
			"an error as an object", 500, "application/json", []byte(`{"detail":{"message":"partly done","errors":["a"]}}`),
			Error{Kind: KindServer, Detail: "partly done"},
		},
		{
			"an unknown host key", 409, "application/json",
			[]byte(`{"detail":{"code":"HOST_KEY_CONFIRMATION_REQUIRED","message":"verify","host_key":{"host":"h","port":22,"reason":"unknown"}}}`),
			Error{Kind: KindHostKey, Detail: "verify", HostKey: &HostKey{Host: "h", Port: 22, Reason: "unknown"}},
		},
		{"another conflict", 409, "application/json", []byte(`{"detail":"busy"}`), Error{Kind: KindConflict, Detail: "busy"}},
		{"a body in an unknown encoding", 401, "application/json", []byte("\xff\xfe{"), Error{Kind: KindAuth}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v := newViewer(t, "0.6.0")
			v.on(runs, answer(tt.status, tt.contentType, tt.body))
			c := v.client(t)
			c.budget.tokens = 0
			_, err := c.GetRun(t.Context(), "x")
			got := typed(t, err, tt.want.Kind)
			want := tt.want
			want.Status, want.Method, want.Route, want.Capability = tt.status, "GET", "/api/runs/{run_id}", capGetRun
			want.Address = got.Address // covered by the tests of the transport
			if diff := cmp.Diff(&want, got); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

func TestClient_ReportsTheCallersContextErrorFirst(t *testing.T) {
	v := newViewer(t, "0.6.0")
	for _, tt := range []struct {
		name string
		end  func(context.Context) (context.Context, context.CancelFunc)
		want error
	}{
		{"cancelled", func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			v.on("GET /api/config", func(_ http.ResponseWriter, r *http.Request) { cancel(); <-r.Context().Done() })
			return ctx, cancel
		}, context.Canceled},
		{"deadline", func(ctx context.Context) (context.Context, context.CancelFunc) {
			v.on("GET /api/config", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, context.DeadlineExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := v.client(t)
			if _, err := c.Capabilities(t.Context()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := tt.end(t.Context())
			defer cancel()
			_, err := c.Config(ctx)
			wantKind(t, err, KindCanceled)
			if !errors.Is(err, tt.want) {
				t.Errorf("%v is not %v", err, tt.want)
			}
		})
	}
}

func TestRetryAfter_ParsesSecondsAndDates(t *testing.T) {
	if got := retryAfter("7"); got != 7*time.Second {
		t.Errorf("seconds: %v", got)
	}
	if got := retryAfter(time.Now().Add(time.Minute).UTC().Format(http.TimeFormat)); got < 50*time.Second || got > time.Minute {
		t.Errorf("a date: %v", got)
	}
	for _, text := range []string{"", "soon", "-5"} {
		if got := retryAfter(text); got != 0 {
			t.Errorf("%q: %v", text, got)
		}
	}
	if got := retryAfter("99999999"); got != maxRetryAfter {
		t.Errorf("a year is accepted: %v", got)
	}
}
