package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// sshViewer is a Viewer that reports a remote Viewer whose tunnel leads back to itself.
type sshViewer struct {
	mu      sync.Mutex
	running bool
	stopped []string
	port    int
}

func (v *sshViewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	session := map[string]any{"sessionId": "abcd1234", "localPort": v.port, "status": "running", "isActive": true}
	var answer any
	switch r.URL.Path {
	case "/openapi.json":
		paths := map[string]any{"/api/health": map[string]any{"get": struct{}{}}}
		for _, path := range []string{"start", "stop"} {
			paths["/api/remote/viewer/"+path] = map[string]any{"post": struct{}{}}
		}
		paths["/api/remote/viewer/sessions"] = map[string]any{"get": struct{}{}}
		answer = map[string]any{"info": struct{}{}, "paths": paths}
	case "/api/remote/viewer/start":
		v.running = true
		answer = map[string]any{"ok": true, "session": session}
	case "/api/remote/viewer/stop":
		var asked map[string]string
		if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		v.running, v.stopped = false, append(v.stopped, asked["session_id"])
		answer = map[string]any{"ok": true}
	case "/api/remote/viewer/sessions":
		sessions := []any{}
		if v.running {
			sessions = append(sessions, session)
		}
		answer = map[string]any{"sessions": sessions}
	default:
		answer = map[string]any{"status": "ok"}
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func TestRemoteViewersThatWereStartedAreWatchedAndStoppedOnADrainIfAsked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"asked", []string{"--stop-remote-on-drain"}, []string{"abcd1234"}},
		{"not asked", nil, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			viewer := &sshViewer{}
			upstream := httptest.NewServer(viewer)
			t.Cleanup(upstream.Close)
			viewer.port = portOf(t, upstream.URL)
			p := start(t, append(tc.args, "--viewer=lab="+upstream.URL)...)
			conn := p.dial(t)
			got, err := runicornapiv1.NewRemoteServiceClient(conn).StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{
				Target: &runicornapiv1.SshTarget{Host: "gpu", Username: "u"}, RemoteRoot: "/runs",
			})
			if err != nil || got.GetSession().GetViewer() != "lab.abcd1234" {
				t.Fatalf("started %v, %v", got, err)
			}
			awaitServing(t, healthpb.NewHealthClient(conn), "viewer/lab.abcd1234")
			p.stop()
			p.wait(t)
			viewer.mu.Lock()
			defer viewer.mu.Unlock()
			if !slices.Equal(viewer.stopped, tc.want) {
				t.Errorf("stopped %q, want %q", viewer.stopped, tc.want)
			}
		})
	}
}

// awaitServing waits until a health service is SERVING.
func awaitServing(t *testing.T, health healthpb.HealthClient, service string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for begun := time.Now(); time.Since(begun) < testTimeout; <-tick.C {
		got, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: service})
		if err == nil && got.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			return
		}
	}
	t.Fatalf("%s does not become SERVING", service)
}

// portOf is the port of a URL.
func portOf(t *testing.T, at string) int {
	t.Helper()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
