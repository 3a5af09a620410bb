package restclient

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// gate is a reverse proxy with its own certificate that requires credentials.
type gate struct {
	*httptest.Server
	mu       sync.Mutex
	want     string
	redirect string // redirect target of all requests, if set
}

func newGate(t *testing.T, viewer, want string) *gate {
	t.Helper()
	behind, err := url.Parse(viewer)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	g := &gate{want: want}
	g.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		want, redirect := g.want, g.redirect
		g.mu.Unlock()
		switch {
		case r.Header.Get("Authorization") != want:
			w.WriteHeader(http.StatusUnauthorized)
		case redirect != "":
			http.Redirect(w, r, redirect, http.StatusTemporaryRedirect)
		default:
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// file writes a file with a new modification time, and returns its path.
func file(t *testing.T, path, content string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "file")
	}
	before, _ := os.Stat(path) // it may not exist yet
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if before != nil {
		if err := os.Chtimes(path, time.Time{}, before.ModTime().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// unrelatedCA writes a certificate that has signed nothing.
func unrelatedCA(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func (g *gate) ca() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.Certificate().Raw}))
}

func TestUpstream_UsesCAAndCredentials(t *testing.T) {
	const first, second = "Bearer first-s3cr3t", "Basic second-s3cr3t"
	v := newViewer(t, "0.6.0")
	v.on("GET /api/config", jsonAnswer(`{"storage":"/s"}`))
	g := newGate(t, v.URL, first)
	h := newLogRecorder()
	auth, ca := file(t, "", first+"\n"), file(t, "", unrelatedCA(t))
	c := v.client(t, withLog(h), func(cfg *Config) { cfg.BaseURL, cfg.CAFile, cfg.AuthFile = g.URL+prefix, ca, auth })

	_, err := c.Config(t.Context())
	if e := typed(t, err, KindUnreachable); !strings.Contains(e.Advice(), "--viewer-ca") || !strings.Contains(e.Cause(), "certificate") {
		t.Errorf("another CA: %q, %q", e.Cause(), e.Advice())
	}
	file(t, ca, g.ca())
	if _, err := c.Config(t.Context()); err != nil {
		t.Fatal("with the CA:", err)
	}
	g.mu.Lock()
	g.want = second
	g.mu.Unlock()
	_, err = c.Config(t.Context())
	if e := typed(t, err, KindAuth); !strings.Contains(e.Advice(), "--viewer-auth") {
		t.Errorf("an old login: %q", e.Advice())
	}
	file(t, auth, second)
	if _, err := c.Config(t.Context()); err != nil {
		t.Fatal("with the new login:", err)
	}
	file(t, auth, "")
	if _, err := c.Config(t.Context()); err != nil {
		t.Error("an empty file takes the login away:", err)
	}
	// A WebSocket sends the credentials, too: the Viewer answers that the run does not
	// exist.
	if err := c.StreamLog(t.Context(), "x", func(LogLine) error { return nil }, func() {}); IsKind(err, KindAuth) {
		t.Error("a WebSocket has no login:", err)
	}
	for _, s := range v.requests() {
		if s.Header.Get("Authorization") != first && s.Header.Get("Authorization") != second {
			t.Errorf("%s %s came without", s.Method, s.Path)
		}
	}
	if lines := strings.Join(h.take(), "\n"); strings.Contains(lines, "s3cr3t") || !strings.Contains(lines, "credentials of the viewer not reloaded") {
		t.Errorf("logged %s", lines)
	}
}

func TestUpstream_SendsCredentialsToTheViewerOnly(t *testing.T) {
	var mu sync.Mutex
	var got []string
	thief := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization"))
	}))
	defer thief.Close()
	v := newViewer(t, "0.6.0")
	g := newGate(t, v.URL, "Bearer s3cr3t")
	c := v.client(t, func(cfg *Config) {
		cfg.BaseURL, cfg.CAFile, cfg.AuthFile = g.URL+prefix, file(t, "", g.ca()), file(t, "", "Bearer s3cr3t")
	})
	if _, err := c.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.redirect = thief.URL
	if _, err := c.Config(t.Context()); err == nil {
		t.Error("a redirect is an answer")
	}
	if err := c.StreamLog(t.Context(), "x", func(LogLine) error { return nil }, func() {}); err == nil {
		t.Error("a redirect is a WebSocket")
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, thief.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := c.transport.RoundTrip(req); !errors.Is(err, errOtherHost) {
		t.Errorf("another host: %v", err)
		_ = resp.Body.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got) > 0 {
		t.Errorf("the other host was asked with %q", got)
	}
}

func TestNew_RefusesUnusableCredentials(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no such CA file":      {CAFile: "/does/not/exist"},
		"a CA file of text":    {CAFile: file(t, "", "hello")},
		"no such auth file":    {AuthFile: "/does/not/exist"},
		"an empty auth file":   {AuthFile: file(t, "", "\n")},
		"an auth of two lines": {AuthFile: file(t, "", "Bearer a\nBearer s3cr3t")},
	} {
		cfg.BaseURL = "https://viewer.test"
		if _, err := New(cfg); err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClient_NamesAServerThatIsNotAViewer(t *testing.T) {
	for _, tt := range []struct{ name, doc, want string }{
		{"this server", `{"paths":{"/v1/experiments":{"get":{}},"/api/runs":{"get":{}}}}`, "runicorn-grpc"},
		{"another one", `{"info":{"title":"Shop"},"paths":{"/buy":{"post":{}}}}`, `"Shop"`},
	} {
		v := newViewer(t, "0.7.2")
		v.on("GET /openapi.json", jsonAnswer(tt.doc))
		_, err := v.client(t).Runs(t.Context())
		if e := typed(t, err, KindUnreachable); !strings.Contains(e.Detail, tt.want) || e.Address == "" || !strings.Contains(e.Advice(), "--viewer") {
			t.Errorf("%s: %+v", tt.name, e)
		}
	}
	v := newViewer(t, "0.7.2")
	v.on("GET /api/health", answer(200, "text/html", []byte("<html>")))
	_, err := v.client(t).Health(t.Context())
	wantKind(t, err, KindUnreachable)
}

func TestError_ExplainsAnUnreachableViewer(t *testing.T) {
	v := newViewer(t, "0.6.0")
	c := v.client(t)
	v.Close()
	_, err := c.Config(t.Context())
	e := typed(t, err, KindUnreachable)
	if e.Cause() != "connection refused" || !strings.Contains(e.Advice(), "runicorn viewer") || e.Address != c.BaseURL() {
		t.Errorf("%q %q %q", e.Cause(), e.Advice(), e.Address)
	}
	e.Viewer = "lab.1234abcd"
	if e.Advice() != "" {
		t.Errorf("a tunneled one: %q", e.Advice())
	}
}
