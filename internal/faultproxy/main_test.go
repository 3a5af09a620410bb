package faultproxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a proxy in front of a server that answers its name, and the header it got.
type bed struct {
	*Proxy
	t      *testing.T
	client *http.Client
}

// serve starts a server for the length of a test.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return srv.URL
}

// text answers every call with the same body.
func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

func newBed(t *testing.T, h http.HandlerFunc) *bed {
	t.Helper()
	p, err := New(serve(t, h))
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		transport.CloseIdleConnections()
	})
	return &bed{Proxy: p, t: t, client: &http.Client{Transport: transport}}
}

// ask sends a GET through the proxy. It returns what was read and the first error.
func (b *bed) ask(path string) (status int, body string, err error) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.URL()+path, strings.NewReader(""))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	raw, err := io.ReadAll(resp.Body)
	if closeErr := resp.Body.Close(); closeErr != nil {
		b.t.Error(closeErr)
	}
	return resp.StatusCode, string(raw), err
}
