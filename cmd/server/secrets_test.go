package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// canaries are what callers put into every field that holds a secret. Some must
// be escaped in JSON, in Go's quotes and in text protos.
func canaries() *runicornapiv1.SshTarget {
	return &runicornapiv1.SshTarget{
		Host: "gpu", Username: "u", Password: "canary-\"pass'word\\", Passphrase: "canary-phrase\tü",
		PrivateKey:     "-----BEGIN KEY-----\ncanary-key-line-1\ncanary-key-line-2\n-----END KEY-----\n",
		PrivateKeyPath: "/home/u/canary-file",
	}
}

// canaryCalls are the requests of all RPCs that have secrets, by the path that
// takes them over HTTP.
func canaryCalls() map[string]proto.Message {
	return map[string]proto.Message{
		"/v1/remote/connections":       &runicornapiv1.OpenConnectionRequest{Target: canaries()},
		"/v1/remote/viewers":           &runicornapiv1.StartViewerRequest{Target: canaries(), RemoteRoot: "/r"},
		"/v1/remote/saved_connections": &runicornapiv1.SaveConnectionRequest{Target: canaries(), RememberSecrets: true},
	}
}

// capture is all output of the server, to any receiver.
type capture struct {
	mu   sync.Mutex
	text strings.Builder
}

func (h *capture) add(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.WriteString(text + "\n")
}

func (h *capture) addError(err error) {
	h.add(fmt.Sprint(err, status.Convert(err).Details()) + prototext.Format(status.Convert(err).Proto()))
}

// want finds no canary in it, and what shows that it listened.
func (h *capture) want(t *testing.T, words ...string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	received := h.text.String()
	if i := strings.Index(received, "canary"); i >= 0 {
		t.Errorf("output has …%s…", received[max(0, i-200):min(len(received), i+60)])
	}
	for _, word := range words {
		if !strings.Contains(received, word) {
			t.Errorf("does not say %q", word)
		}
	}
}

// call makes every call that has secrets, over gRPC, HTTP, and the paths
// of the documented client.
func (h *capture) call(t *testing.T, conn grpc.ClientConnInterface, httpURL string) {
	t.Helper()
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer canary-token")
	remote := runicornapiv1.NewRemoteServiceClient(conn)
	for path, req := range canaryCalls() {
		var answer proto.Message
		var err error
		switch req := req.(type) {
		case *runicornapiv1.OpenConnectionRequest:
			answer, err = remote.OpenConnection(ctx, req)
		case *runicornapiv1.StartViewerRequest:
			answer, err = remote.StartViewer(ctx, req)
			again := proto.CloneOf(req)
			again.CondaEnv = "base"
			_, otherErr := remote.StartViewer(ctx, again)
			h.addError(otherErr)
		case *runicornapiv1.SaveConnectionRequest:
			answer, err = remote.SaveConnection(ctx, req)
		}
		h.add(fmt.Sprint(answer))
		h.addError(err)
		body, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		h.post(t, httpURL+path, string(body))
		h.post(t, httpURL+path, strings.Replace(string(body), `"gpu"`, `"gpu\n"`, 1))                // refused by our rules
		h.post(t, httpURL+path, strings.Replace(string(body), `"password":`, `"no_such_field":`, 1)) // by the decoder
		h.post(t, httpURL+path, string(body[:len(body)-9]))
	}
	plain, err := json.Marshal(map[string]any{
		"host": "gpu", "username": "u", "password": canaries().GetPassword(), "passphrase": canaries().GetPassphrase(),
		"private_key_path": canaries().GetPrivateKeyPath(),
	})
	if err != nil {
		t.Fatal(err)
	}
	h.post(t, httpURL+"/api/remote/connect", string(plain))
	h.post(t, httpURL+"/api/remote/connect", strings.Replace(string(plain), `"gpu"`, `7`, 1))
	h.post(t, httpURL+"/api/remote/connect", string(plain[:len(plain)-9]))
}

// post records the response to a body.
func (h *capture) post(t *testing.T, at, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, at, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer canary-token")
	resp, err := plainClient(t).Do(req)
	if err != nil {
		h.add(err.Error())
		return
	}
	defer shut(t, resp.Body)
	answer, err := io.ReadAll(resp.Body)
	h.add(fmt.Sprint(resp.Status, resp.Header, string(answer), err))
}

// echoViewer repeats every change in its response.
type echoViewer struct {
	code  int
	text  string // before the request
	shape string // of the answer, around both as JSON, and the request as it is; an error if empty
	drop  bool   // the connection instead
}

func (v *echoViewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body bytes.Buffer
	if _, err := body.ReadFrom(r.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodGet:
		fmt.Fprint(w, map[string]string{
			"/openapi.json": `{"info": {}, "paths": {"/api/health": {"get": {}}, "/api/remote/sessions": {"get": {}}, "/api/remote/viewer/sessions": {"get": {}},
				"/api/remote/conda-envs": {"get": {}}, "/api/remote/connect": {"post": {}}, "/api/remote/viewer/start": {"post": {}},
				"/api/config/ssh_connections": {"get": {}, "post": {}}}}`,
			"/api/remote/sessions":        `{"sessions": []}`,
			"/api/remote/viewer/sessions": `{"sessions": []}`,
			"/api/remote/conda-envs":      `{"ok": true, "envs": [{"name": "base"}]}`,
			"/api/config/ssh_connections": `{"connections": []}`,
			"/api/health":                 `{"status": "ok"}`,
		}[r.URL.Path])
	case v.drop:
		panic(http.ErrAbortHandler)
	default:
		received, err := json.Marshal(v.text + body.String())
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(v.code)
		fmt.Fprintf(w, cmp.Or(v.shape, `{"detail": %s}`)+"%.0[2]s", received, body.String())
	}
}

// TestNothingThatLeavesTheServerHasASecret uses a Viewer that repeats every secret in
// every kind of response, and searches for them in responses, errors, the log, metrics
// and traces.
func TestNothingThatLeavesTheServerHasASecret(t *testing.T) {
	received := &capture{}
	var isTraced atomic.Bool
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			received.add(string(body)) // a proto, in which texts stand as they are
			isTraced.Store(isTraced.Load() || strings.Contains(string(body), "RemoteService/OpenConnection"))
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	viewers := map[string]*echoViewer{
		"success":           {code: 200, shape: `{"ok": true, "connected": true, "connection_id": "u@gpu:22", "session": {"sessionId": "s", "isActive": true}, "echo": %s}`},
		"refusal":           {code: 200, shape: `{"ok": false, "message": %s}`},
		"no JSON":           {code: 200, shape: `<html>%s`},
		"half an answer":    {code: 200, shape: `{"ok": true, "x": %s`},
		"a cut connection":  {drop: true},
		"refused fields":    {code: 422, shape: `{"detail": [{"loc": ["body", "host"], "msg": %s, "input": %[2]s}]}`},
		"unknown host key":  {code: 409, shape: `{"detail": {"code": "HOST_KEY_CONFIRMATION_REQUIRED", "message": %s, "host_key": {"host": "gpu", "port": 22}}}`},
		"login refused":     {code: 500, text: "Connection failed: Authentication failed. "},
		"no such key":       {code: 500, text: "Connection failed: [Errno 2] No such file or directory: '/home/u/canary-file' "},
		"no runicorn there": {code: 500, text: "Failed to start Remote Viewer: runicorn not installed "},
		"a defect there":    {code: 500},
	}
	for _, code := range []int{400, 401, 403, 404, 413, 429, 502, 503, 504} {
		viewers[strconv.Itoa(code)] = &echoViewer{code: code}
	}
	for _, v := range viewers {
		viewer := httptest.NewServer(v)
		audited := file(t, "audit", "")
		p := startWith(t, environment("OTEL_EXPORTER_OTLP_ENDPOINT="+collector.URL), "--viewer="+viewer.URL, "--log-level=debug", "--allow-key-paths", "--audit-log="+audited)
		received.call(t, p.dial(t), p.httpURL)
		_, metrics := p.get(t, plainClient(t), "/metrics", "canary-token")
		received.add(metrics)
		p.stop()
		if code := p.wait(t); code != exitOK {
			t.Errorf("exit code %d", code)
		}
		received.add(p.stderr.String() + p.stdout.String())
		lines, err := os.ReadFile(audited)
		if err != nil {
			t.Fatal(err)
		}
		received.add(string(lines))
		viewer.Close()
	}
	received.want(t, `"rpc":"/runicornapi.v1.RemoteService/OpenConnection","on":{"host":"gpu"`, "SSH_AUTH_FAILED", "HOST_KEY_UNKNOWN", "REMOTE_RUNICORN_MISSING", "OUTCOME_UNKNOWN", "SSH_KEY_INVALID",
		"grpc_server_handled_total", "finished call", "level=DEBUG")
	if !isTraced.Load() {
		t.Error("the collector has received no span")
	}
}
