package service

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// sshFake stands for what a Viewer holds over SSH: the demo's Viewers have no
// SSH server to connect to. Whole stories over a real one are in internal/e2e.
type sshFake struct {
	mu          sync.Mutex
	connections []string // user@host:port
	sessions    []string // JSON
	calls       []string // the changes that were asked for
	bodies      []string
	failure     string // what connect and start answer with 500
}

// serve answers the routes over SSH.
func (f *sshFake) serve(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/api/remote/") || strings.Contains(r.URL.Path, "known-hosts") {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	if r.Method == http.MethodPost {
		f.calls = append(f.calls, strings.TrimPrefix(r.URL.Path, "/api/remote/"))
		f.bodies = append(f.bodies, string(body))
	}
	connections := make([]string, 0, len(f.connections))
	for _, id := range f.connections {
		user, address, _ := strings.Cut(id, "@")
		host, port, _ := strings.Cut(address, ":")
		connections = append(connections, fmt.Sprintf(`{"key":%q,"host":%q,"port":%s,"username":%q,"connected":true}`, id, host, port, user))
	}
	w.Header().Set("Content-Type", "application/json")
	switch strings.TrimPrefix(r.URL.Path, "/api/remote/") {
	case "sessions":
		fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Join(connections, ","))
	case "status":
		fmt.Fprintf(w, `{"connections":[%s],"viewer_sessions":[%s]}`, strings.Join(connections, ","), strings.Join(f.sessions, ","))
	case "viewer/sessions":
		fmt.Fprintf(w, `{"sessions":[%s]}`, strings.Join(f.sessions, ","))
	case "conda-envs":
		fmt.Fprint(w, `{"ok":true,"envs":[{"name":"base"},{"name":"system"}]}`)
	case "disconnect", "viewer/stop":
		fmt.Fprint(w, `{"ok":true}`)
	default:
		if f.failure != "" {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprintf(w, `{"detail":%q}`, f.failure+string(body))
			return true
		}
		fmt.Fprint(w, `{"ok":true,"connected":true,"connection_id":"u@gpu:22","host":"gpu","port":22,"username":"u"}`)
	}
	return true
}

func (f *sshFake) changed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string{}, f.calls...)
}

// newRemote is a server before one Viewer with a fake SSH side.
func newRemote(t *testing.T, f *sshFake, policy RemotePolicy, generation demoviewer.Generation) *harness {
	t.Helper()
	h := newHarnessWith(t, setup{config: func(d *Config) { d.Remote = policy }}, generation)
	h.upstreams[0].replace(f.serve)
	return h
}

func gpu() *runicornapiv1.SshTarget { return &runicornapiv1.SshTarget{Host: "gpu", Username: "u"} }

func TestRemote_WhatIsNotAllowedReachesNoViewer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		policy RemotePolicy
		change func(*runicornapiv1.SshTarget)
		code   codes.Code
		reason string
		named  string // in the metadata or the message
	}{
		{"a host that is not on the list", RemotePolicy{Hosts: []string{"other"}}, nil, codes.PermissionDenied, "FEATURE_DISABLED", "--remote-hosts"},
		{"a host that is on the list", RemotePolicy{Hosts: []string{"other", "GPU"}}, nil, codes.OK, "", ""},
		{"a key file", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.PrivateKeyPath = "/key" }, codes.PermissionDenied, "FEATURE_DISABLED", "--allow-key-paths"},
		{"a key file that is allowed", RemotePolicy{AllowKeyPaths: true}, func(s *runicornapiv1.SshTarget) { s.PrivateKeyPath = "/key" }, codes.OK, "", ""},
		{"port 0", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Port = new(int32(0)) }, codes.InvalidArgument, "INVALID_REQUEST", "target.port"},
		{"port 65536", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Port = new(int32(65536)) }, codes.InvalidArgument, "INVALID_REQUEST", "target.port"},
		{"no user", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Username = "" }, codes.InvalidArgument, "INVALID_REQUEST", "target.username"},
		{"a line break in the user", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Username = "u\nv" }, codes.InvalidArgument, "INVALID_REQUEST", "target.username"},
		{"an option for a host", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Host = "-oProxyCommand=x" }, codes.InvalidArgument, "INVALID_REQUEST", "target.host"},
		{"a quote in the host", RemotePolicy{}, func(s *runicornapiv1.SshTarget) { s.Host = "a'b" }, codes.InvalidArgument, "INVALID_REQUEST", "target.host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &sshFake{}
			h := newRemote(t, f, tt.policy, demoviewer.Gen07)
			target := gpu()
			if tt.change != nil {
				tt.change(target)
			}
			_, err := h.remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Target: target})
			_, startErr := h.remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: target, RemoteRoot: "/r", CondaEnv: "none"})
			if tt.code == codes.OK {
				if err != nil || len(f.changed()) == 0 {
					t.Errorf("got %v after %q", err, f.changed())
				}
				return
			}
			for _, err := range []error{err, startErr} {
				apierrtest.WantError(t, err, tt.code, tt.reason)
				if text := prototext.Format(status.Convert(err).Proto()); !strings.Contains(text, tt.named) && !strings.Contains(fmt.Sprint(status.Convert(err).Details()...), tt.named) {
					t.Errorf("the error does not name %s: %s", tt.named, text)
				}
			}
			if calls := f.changed(); len(calls) > 0 {
				t.Errorf("the Viewer was asked for %q", calls)
			}
		})
	}
}

func TestConnect_SaysWhetherCredentialsWereChecked(t *testing.T) {
	t.Parallel()
	f := &sshFake{}
	h := newRemote(t, f, RemotePolicy{}, demoviewer.Gen07)
	for _, alreadyConnected := range []bool{false, true} {
		got, err := h.remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Target: gpu()})
		if err != nil || got.GetAlreadyConnected() != alreadyConnected || got.GetConnection().GetConnectionId() != "u@gpu:22" {
			t.Errorf("already connected %v: %v, %v", alreadyConnected, got, err)
		}
		f.mu.Lock()
		f.connections = []string{"u@gpu:22"}
		f.mu.Unlock()
	}
}

func TestRemote_ABareHostIsAConnectionWhereOnlyOneMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		connections []string
		id          string
		code        codes.Code
		reason      string
	}{
		{"one", []string{"u@gpu:22", "u@cpu:22"}, "gpu", codes.OK, ""},
		{"none", []string{"u@cpu:22"}, "gpu", codes.NotFound, "CONNECTION_NOT_FOUND"},
		{"two", []string{"u@gpu:22", "v@gpu:22"}, "gpu", codes.FailedPrecondition, "STATE_CONFLICT"},
		{"two, but named", []string{"u@gpu:22", "v@gpu:22"}, "u@gpu:22", codes.OK, ""},
		{"no id", nil, "u@gpu", codes.InvalidArgument, "INVALID_REQUEST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &sshFake{connections: tt.connections}
			h := newRemote(t, f, RemotePolicy{}, demoviewer.Gen07)
			got, err := h.remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{ConnectionId: tt.id})
			if tt.code != codes.OK {
				apierrtest.WantError(t, err, tt.code, tt.reason)
			} else if err != nil || got.GetConnectionId() != "u@gpu:22" {
				t.Errorf("got %v, %v", got, err)
			}
			_, err = h.remote.ListPythonEnvironments(t.Context(), &runicornapiv1.ListPythonEnvironmentsRequest{ConnectionId: tt.id})
			if status.Code(err) != tt.code {
				t.Errorf("reading: %v, want %v", err, tt.code)
			}
		})
	}
}

func TestDisconnect_StopsItsSessionsFirstAndNoOthers(t *testing.T) {
	t.Parallel()
	session := func(id, host, user string) string {
		return fmt.Sprintf(`{"sessionId":%q,"host":%q,"sshPort":22,"username":%q,"localPort":1,"isActive":true}`, id, host, user)
	}
	for _, tt := range []struct {
		name        string
		generation  demoviewer.Generation
		connections []string
		sessions    []string
		calls       []string
		code        codes.Code
	}{
		{
			"0.7 names the host", demoviewer.Gen07,
			[]string{"u@gpu:22", "u@cpu:22"},
			[]string{session("a", "gpu", "u"), session("b", "cpu", "u")},
			[]string{"viewer/stop", "disconnect"},
			codes.OK,
		},
		{
			"0.6 does not, but there is one connection only", demoviewer.Gen06,
			[]string{"u@gpu:22"},
			[]string{session("a", "127.0.0.1", "u"), session("b", "127.0.0.1", "v")},
			[]string{"viewer/stop", "disconnect"},
			codes.OK,
		},
		{
			"0.5 does not, and nobody can tell", demoviewer.Gen05,
			[]string{"u@gpu:22", "u@cpu:22"},
			[]string{session("a", "127.0.0.1", "u")},
			[]string{},
			codes.FailedPrecondition,
		},
		{"no session", demoviewer.Gen05, []string{"u@gpu:22", "u@cpu:22"}, nil, []string{"disconnect"}, codes.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &sshFake{connections: tt.connections, sessions: tt.sessions}
			h := newRemote(t, f, RemotePolicy{}, tt.generation)
			_, err := h.remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{ConnectionId: "gpu"})
			if status.Code(err) != tt.code {
				t.Errorf("got %v, want %v", err, tt.code)
			}
			if diff := cmp.Diff(tt.calls, f.changed()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStartViewer_RefusesWhatTheViewerWouldGetWrong(t *testing.T) {
	t.Parallel()
	other := `{"sessionId":"a","host":"gpu","sshPort":22,"username":"u","localPort":8081,"remotePort":9090,"isActive":true}`
	for _, tt := range []struct {
		name   string
		change func(*runicornapiv1.StartViewerRequest)
		code   codes.Code
		reason string
	}{
		{"an unknown environment", func(r *runicornapiv1.StartViewerRequest) { r.CondaEnv = "none" }, codes.InvalidArgument, "INVALID_REQUEST"},
		{"a local port of another session", func(r *runicornapiv1.StartViewerRequest) { r.LocalPort = new(int32(8081)) }, codes.FailedPrecondition, "REMOTE_PORT_TAKEN"},
		{"a remote port of another session", func(r *runicornapiv1.StartViewerRequest) { r.RemotePort = new(int32(9090)) }, codes.FailedPrecondition, "REMOTE_PORT_TAKEN"},
		{"a connection that is not there", func(r *runicornapiv1.StartViewerRequest) { r.ConnectionId = "v@gpu:22" }, codes.NotFound, "CONNECTION_NOT_FOUND"},
		{"a root with a quote", func(r *runicornapiv1.StartViewerRequest) { r.RemoteRoot = "/r'; x" }, codes.InvalidArgument, "INVALID_REQUEST"},
		{"neither connection nor target", func(r *runicornapiv1.StartViewerRequest) { r.ConnectionId = "" }, codes.InvalidArgument, "INVALID_REQUEST"},
		{"both", func(r *runicornapiv1.StartViewerRequest) { r.Target = gpu() }, codes.InvalidArgument, "INVALID_REQUEST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &sshFake{connections: []string{"u@gpu:22"}, sessions: []string{other}}
			h := newRemote(t, f, RemotePolicy{}, demoviewer.Gen07)
			req := &runicornapiv1.StartViewerRequest{ConnectionId: "gpu", RemoteRoot: "/r"}
			tt.change(req)
			_, err := h.remote.StartViewer(t.Context(), req)
			apierrtest.WantError(t, err, tt.code, tt.reason)
			if calls := f.changed(); len(calls) > 0 {
				t.Errorf("the Viewer was asked for %q", calls)
			}
		})
	}
}

func TestViewerMutex_AdmitsOneCallerAtATime(t *testing.T) {
	t.Parallel()
	var locks viewerMutex
	inside := 0
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			unlock, err := locks.lock(t.Context(), "lab")
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			inside++ // the race detector watches it
		})
	}
	wg.Wait()
	unlock, err := locks.lock(t.Context(), "lab")
	if err != nil || inside != 50 {
		t.Fatalf("%d were inside, %v", inside, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := locks.lock(canceled, "lab"); err == nil {
		t.Error("a cancelled caller gets the lock")
	}
	unlock()
	if len(locks.entries) != 0 {
		t.Errorf("%d entries are left", len(locks.entries))
	}
}
