package remote

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// lockedBuffer is a log that may be read at any time.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// TestRemote_NoResponseOrLogContainsASecret uses a Viewer that repeats every request in
// its errors, in every way in which it may fail, and searches for the secrets in
// responses, errors and the log.
func TestRemote_NoResponseOrLogContainsASecret(t *testing.T) {
	t.Parallel()
	secret := func() *runicornapiv1.SshTarget {
		target := gpu()
		target.Password, target.Passphrase = "canary-\"pass'word\\", "canary-phrase\tü"
		target.PrivateKey = "-----BEGIN KEY-----\ncanary-key-line-1\ncanary-key-line-2\n-----END KEY-----\n"
		target.PrivateKeyPath = "/home/u/canary-file"
		return target
	}
	failures := map[string]func(*servicetest.SSHFake) func(http.ResponseWriter, *http.Request) bool{
		"it works": func(f *servicetest.SSHFake) func(http.ResponseWriter, *http.Request) bool { return f.Serve },
	}
	for _, text := range []string{
		"Connection failed: Authentication failed. ", "Connection failed: [Errno 2] No such file or directory: '/home/u/canary-file' ",
		"Failed to start Remote Viewer: runicorn not installed ", "Connection failed: something else ", "Connection failed: 400: ",
	} {
		failures[text] = func(f *servicetest.SSHFake) func(http.ResponseWriter, *http.Request) bool {
			f.Failure = text
			return f.Serve
		}
	}
	for _, code := range []int{400, 401, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504} {
		failures[strconv.Itoa(code)] = func(f *servicetest.SSHFake) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool { return echo(f, w, r, code, `{"detail":%q}`) }
		}
	}
	for name, shape := range map[string]string{"no JSON": "%s", "half an answer": `{"ok":true,"x":%q`, "a refusal": `{"ok":false,"message":%q}`} {
		failures[name] = func(f *servicetest.SSHFake) func(http.ResponseWriter, *http.Request) bool {
			return func(w http.ResponseWriter, r *http.Request) bool { return echo(f, w, r, 200, shape) }
		}
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lockedBuffer{}
			h := newHarness(t, servicetest.Setup{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))},
				func(c *Config) { c.Policy = Policy{AllowKeyPaths: true} }, demotest.Gen07)
			h.Upstreams[0].Replace(failure(&servicetest.SSHFake{}))
			said := func(answer any, err error) {
				t.Helper()
				text := fmt.Sprint(answer) + log.String() + prototext.Format(status.Convert(err).Proto()) + fmt.Sprint(status.Convert(err).Details()...)
				if i := strings.Index(text, "canary"); i >= 0 {
					t.Errorf("says …%s…", text[max(0, i-120):min(len(text), i+60)])
				}
			}
			said(h.Remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Target: secret()}))
			said(h.Remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: secret(), RemoteRoot: "/r"}))
			said(h.Remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: secret(), RemoteRoot: "/r", CondaEnv: "base"}))
			said(h.Remote.SaveConnection(t.Context(), &runicornapiv1.SaveConnectionRequest{Target: secret(), RememberSecrets: true}))
			said(h.Remote.SaveConnection(t.Context(), &runicornapiv1.SaveConnectionRequest{Target: secret()}))
		})
	}
}

// echo answers a change with the request, and passes on everything else.
func echo(f *servicetest.SSHFake, w http.ResponseWriter, r *http.Request, code int, shape string) bool {
	if r.Method != http.MethodPost {
		return f.Serve(w, r)
	}
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		return false
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	fmt.Fprintf(w, shape, body.String())
	return true
}
