package restclient

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestNew_ValidatesTheConfiguration(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string // "" means accepted
	}{
		{"a plain address is accepted", Config{BaseURL: "http://127.0.0.1:23300"}, ""},
		{"a path prefix is accepted", Config{BaseURL: "https://host/a/b/"}, ""},
		{"another scheme is refused", Config{BaseURL: "file:///etc/passwd"}, "http://"},
		{"no scheme is refused", Config{BaseURL: "127.0.0.1:23300"}, "parsed"},
		{"an empty address is refused", Config{}, "http://"},
		{"user information is refused", Config{BaseURL: "http://u:hunter2@host"}, "user information"},
		{"a missing host is refused", Config{BaseURL: "http://:80"}, "host"},
		{"a query is refused", Config{BaseURL: "http://host/?a=b"}, "query"},
		{"an empty query is refused", Config{BaseURL: "http://host/?"}, "query"},
		{"a fragment is refused", Config{BaseURL: "http://host/#f"}, "fragment"},
		{"a negative share is refused", Config{BaseURL: "http://host", Share: -1}, "share"},
		{"a share above one is refused", Config{BaseURL: "http://host", Share: 1.5}, "share"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(tt.cfg)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error about %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Error("the error shows the password")
			}
		})
	}
}

func TestClient_SendsOnlyItsOwnHeaders(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // would make every call fail if it were used
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	v := newViewer(t, "0.6.0")
	v.on("POST /api/runs/soft-delete", jsonAnswer(`{"results":{}}`))
	v.on("GET /api/health", jsonAnswer(`{}`))
	c := v.client(t)
	if _, err := c.SoftDelete(t.Context(), []string{"20261123_151105_e4a55c"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Health(t.Context()); err != nil {
		t.Fatal(err)
	}
	allowed := []string{"Accept", "User-Agent", "Content-Type", "Content-Length", "Range"}
	for _, r := range v.seen {
		for name := range r.Header {
			if !slices.Contains(allowed, name) {
				t.Errorf("%s %s sent %s: %q", r.Method, r.Path, name, r.Header[name])
			}
		}
	}
	if got := v.requests()[0].Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("content type of a body is %q", got)
	}
}

func TestClient_FollowsNoRedirect(t *testing.T) {
	v := newViewer(t, "0.6.0")
	for _, status := range []int{301, 302, 303, 307, 308} {
		v.on("GET /api/config", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, prefix+"/api/health", status)
		})
		_, err := v.client(t).Config(t.Context())
		if e := typed(t, err, KindMalformed); e.Status != status {
			t.Errorf("status %d, want %d", e.Status, status)
		}
	}
	for _, r := range v.requests() {
		if r.Path != "/api/config" {
			t.Errorf("a redirect was followed to %s", r.Path)
		}
	}
}

func TestClient_NeverDecompresses(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(bytes.Repeat([]byte(" "), 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	v := newViewer(t, "0.6.0")
	v.on("GET /api/config", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		jsonAnswer(packed.String())(w, r)
	})
	_, err := v.client(t).Config(t.Context())
	if e := typed(t, err, KindMalformed); e.BytesDelivered > int64(packed.Len()) {
		t.Errorf("%d bytes came out of %d", e.BytesDelivered, packed.Len())
	}
}

func TestClient_ObservesRoutesNotIDs(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on("GET /api/runs/a-run", jsonAnswer(`{"id":"a-run"}`))
	var rec recorder
	c := v.client(t, func(cfg *Config) { cfg.Observer = &rec })
	if _, err := c.GetRun(t.Context(), "a-run"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetRun(t.Context(), "missing"); err == nil {
		t.Fatal("a missing run was found")
	}
	got := rec.all()
	if len(got) != 3 || got[1].Route != "/api/runs/{run_id}" || got[1].Status != 200 || got[1].Bytes != 14 || got[1].Kind != 0 {
		t.Errorf("observed %+v", got)
	}
	if got[2].Kind != KindUnsupported && got[2].Kind != KindNotFound {
		t.Errorf("a failure was observed as %v", got[2].Kind)
	}
}
