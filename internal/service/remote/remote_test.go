package remote

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/prototext"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// newRemote is a server before one Viewer with a fake SSH side.
func newRemote(t *testing.T, f *servicetest.SSHFake, policy Policy, generation demotest.Generation) *servicetest.Harness {
	t.Helper()
	h := newHarness(t, servicetest.Setup{}, func(c *Config) { c.Policy = policy }, generation)
	h.Upstreams[0].Replace(f.Serve)
	return h
}

func gpu() *runicornapiv1.SshTarget { return &runicornapiv1.SshTarget{Host: "gpu", Username: "u"} }

func TestRemote_ForbiddenCallsReachNoViewer(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		policy Policy
		change func(*runicornapiv1.SshTarget)
		code   codes.Code
		reason string
		named  string // in the metadata or the message
	}{
		{"a host that is not on the list", Policy{Hosts: []string{"other"}}, nil, codes.PermissionDenied, "FEATURE_DISABLED", "--remote-hosts"},
		{"a host that is on the list", Policy{Hosts: []string{"other", "GPU"}}, nil, codes.OK, "", ""},
		{"a key file", Policy{}, func(s *runicornapiv1.SshTarget) { s.PrivateKeyPath = "/key" }, codes.PermissionDenied, "FEATURE_DISABLED", "--allow-key-paths"},
		{"a key file that is allowed", Policy{AllowKeyPaths: true}, func(s *runicornapiv1.SshTarget) { s.PrivateKeyPath = "/key" }, codes.OK, "", ""},
		{"port 0", Policy{}, func(s *runicornapiv1.SshTarget) { s.Port = new(int32(0)) }, codes.InvalidArgument, "INVALID_REQUEST", "target.port"},
		{"port 65536", Policy{}, func(s *runicornapiv1.SshTarget) { s.Port = new(int32(65536)) }, codes.InvalidArgument, "INVALID_REQUEST", "target.port"},
		{"no user", Policy{}, func(s *runicornapiv1.SshTarget) { s.Username = "" }, codes.InvalidArgument, "INVALID_REQUEST", "target.username"},
		{"a line break in the user", Policy{}, func(s *runicornapiv1.SshTarget) { s.Username = "u\nv" }, codes.InvalidArgument, "INVALID_REQUEST", "target.username"},
		{"an option for a host", Policy{}, func(s *runicornapiv1.SshTarget) { s.Host = "-oProxyCommand=x" }, codes.InvalidArgument, "INVALID_REQUEST", "target.host"},
		{"a quote in the host", Policy{}, func(s *runicornapiv1.SshTarget) { s.Host = "a'b" }, codes.InvalidArgument, "INVALID_REQUEST", "target.host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &servicetest.SSHFake{}
			h := newRemote(t, f, tt.policy, demotest.Gen07)
			target := gpu()
			if tt.change != nil {
				tt.change(target)
			}
			_, err := h.Remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Target: target})
			_, startErr := h.Remote.StartViewer(t.Context(), &runicornapiv1.StartViewerRequest{Target: target, RemoteRoot: "/r", CondaEnv: "none"})
			if tt.code == codes.OK {
				if err != nil || len(f.Changed()) == 0 {
					t.Errorf("got %v after %q", err, f.Changed())
				}
				return
			}
			for _, err := range []error{err, startErr} {
				apierrtest.WantError(t, err, tt.code, tt.reason)
				if text := prototext.Format(status.Convert(err).Proto()); !strings.Contains(text, tt.named) && !strings.Contains(fmt.Sprint(status.Convert(err).Details()...), tt.named) {
					t.Errorf("the error does not name %s: %s", tt.named, text)
				}
			}
			if calls := f.Changed(); len(calls) > 0 {
				t.Errorf("the Viewer was asked for %q", calls)
			}
		})
	}
}

func TestConnect_ReportsWhetherCredentialsWereChecked(t *testing.T) {
	t.Parallel()
	f := &servicetest.SSHFake{}
	h := newRemote(t, f, Policy{}, demotest.Gen07)
	for _, alreadyConnected := range []bool{false, true} {
		got, err := h.Remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Target: gpu()})
		if err != nil || got.GetAlreadyConnected() != alreadyConnected || got.GetConnection().GetConnectionId() != "u@gpu:22" {
			t.Errorf("already connected %v: %v, %v", alreadyConnected, got, err)
		}
		f.Mu.Lock()
		f.Connections = []string{"u@gpu:22"}
		f.Mu.Unlock()
	}
}

func TestRemote_ABareHostIsAConnectionIfOnlyOneMatches(t *testing.T) {
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
			f := &servicetest.SSHFake{Connections: tt.connections}
			h := newRemote(t, f, Policy{}, demotest.Gen07)
			got, err := h.Remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{ConnectionId: tt.id})
			if tt.code != codes.OK {
				apierrtest.WantError(t, err, tt.code, tt.reason)
			} else if err != nil || got.GetConnectionId() != "u@gpu:22" {
				t.Errorf("got %v, %v", got, err)
			}
			_, err = h.Remote.ListPythonEnvironments(t.Context(), &runicornapiv1.ListPythonEnvironmentsRequest{ConnectionId: tt.id})
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
		generation  demotest.Generation
		connections []string
		sessions    []string
		calls       []string
		code        codes.Code
	}{
		{
			"0.7 names the host", demotest.Gen07,
			[]string{"u@gpu:22", "u@cpu:22"},
			[]string{session("a", "gpu", "u"), session("b", "cpu", "u")},
			[]string{"viewer/stop", "disconnect"},
			codes.OK,
		},
		{
			"0.6 does not, but there is one connection only", demotest.Gen06,
			[]string{"u@gpu:22"},
			[]string{session("a", "127.0.0.1", "u"), session("b", "127.0.0.1", "v")},
			[]string{"viewer/stop", "disconnect"},
			codes.OK,
		},
		{
			"0.5 does not, and nobody can tell", demotest.Gen05,
			[]string{"u@gpu:22", "u@cpu:22"},
			[]string{session("a", "127.0.0.1", "u")},
			[]string{},
			codes.FailedPrecondition,
		},
		{"no session", demotest.Gen05, []string{"u@gpu:22", "u@cpu:22"}, nil, []string{"disconnect"}, codes.OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := &servicetest.SSHFake{Connections: tt.connections, Sessions: tt.sessions}
			h := newRemote(t, f, Policy{}, tt.generation)
			_, err := h.Remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{ConnectionId: "gpu"})
			if status.Code(err) != tt.code {
				t.Errorf("got %v, want %v", err, tt.code)
			}
			if diff := cmp.Diff(tt.calls, f.Changed()); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestStartViewer_RefusesWhatTheViewerWouldDoWrong(t *testing.T) {
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
			f := &servicetest.SSHFake{Connections: []string{"u@gpu:22"}, Sessions: []string{other}}
			h := newRemote(t, f, Policy{}, demotest.Gen07)
			req := &runicornapiv1.StartViewerRequest{ConnectionId: "gpu", RemoteRoot: "/r"}
			tt.change(req)
			_, err := h.Remote.StartViewer(t.Context(), req)
			apierrtest.WantError(t, err, tt.code, tt.reason)
			if calls := f.Changed(); len(calls) > 0 {
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
