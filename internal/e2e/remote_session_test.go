package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// hostSteps read the server over the connection.
func (s *remoteStory) hostSteps() []remoteStep {
	files := s.on(realviewer.V072, "Unimplemented VIEWER_LACKS_CAPABILITY", "OK")
	list := func(ctx context.Context, path string) (*runicornapiv1.ListDirectoryResponse, error) {
		return s.a.remote.ListDirectory(ctx, &runicornapiv1.ListDirectoryRequest{Viewer: s.name, ConnectionId: loopback, Path: path})
	}
	check := func(ctx context.Context, path string) (*runicornapiv1.CheckPathResponse, error) {
		return s.a.remote.CheckPath(ctx, &runicornapiv1.CheckPathRequest{Viewer: s.name, ConnectionId: loopback, Path: path})
	}
	return []remoteStep{
		{name: "list a directory", want: files, call: func(t *testing.T) error {
			got, err := list(t.Context(), "")
			isOurs := s.sshd.Password != "" // otherwise the account has its own home
			if err == nil && (got.GetPath() == "" || isOurs && (got.GetPath() != s.sshd.Home || len(got.GetEntries()) == 0)) {
				t.Errorf("the home is %v", got)
			}
			return err
		}},
		{
			name: "list a directory that is not there", want: strings.Replace(files, "OK", "NotFound RESOURCE_NOT_FOUND", 1),
			call: func(t *testing.T) error {
				_, err := list(t.Context(), "/none")
				return err
			},
		},
		{name: "check a path", want: files, call: func(t *testing.T) error {
			got, err := check(t.Context(), s.root)
			if err == nil && (!got.GetExists() || !got.GetIsDirectory()) {
				t.Errorf("the root is %v", got)
			}
			return err
		}},
		{name: "check a path with a quote", want: "InvalidArgument INVALID_REQUEST", call: func(t *testing.T) error {
			marker := filepath.Join(s.sshd.Home, "executed")
			_, err := check(t.Context(), "/tmp'; touch '"+marker)
			if _, err := os.Stat(marker); err == nil {
				t.Error("the path was executed")
			}
			return err
		}},
		{name: "list Python environments", want: "OK", call: func(t *testing.T) error {
			list := func() (*runicornapiv1.ListPythonEnvironmentsResponse, error) {
				return s.a.remote.ListPythonEnvironments(t.Context(), &runicornapiv1.ListPythonEnvironmentsRequest{Viewer: s.name, ConnectionId: loopback})
			}
			got, err := list()
			if outcomeOf(err) == "DeadlineExceeded VIEWER_TIMEOUT" { // a busy machine may need more than the 30 s of SSH calls
				got, err = list()
			}
			if err == nil && len(got.GetEnvironments()) == 0 {
				t.Error("there is no Python")
			}
			return err
		}},
		{name: "get the remote configuration", want: "OK", call: func(t *testing.T) error {
			got, err := s.remoteConfig(t.Context(), loopback)
			if err == nil && got.GetRunicornVersion() == "" {
				t.Errorf("the server has no runicorn: %v", got)
			}
			return err
		}},
		{name: "read over a connection that is not there", want: "NotFound CONNECTION_NOT_FOUND", call: func(t *testing.T) error {
			_, err := s.remoteConfig(t.Context(), "nobody@127.0.0.1:1")
			return err
		}},
	}
}

// sessionSteps start a Viewer on the server, read the growing run there through
// both replicas, and stop it.
func (s *remoteStory) sessionSteps() []remoteStep {
	var session *runicornapiv1.ViewerSession
	start := func(change func(*testing.T, *runicornapiv1.StartViewerRequest)) func(*testing.T) error {
		return func(t *testing.T) error {
			req := s.startRequest(t, nil)
			change(t, req)
			_, err := s.startViewer(t.Context(), req)
			return err
		}
	}
	return []remoteStep{
		{
			name: "start a Viewer in an unknown environment", want: "InvalidArgument INVALID_REQUEST",
			call: start(func(_ *testing.T, req *runicornapiv1.StartViewerRequest) { req.CondaEnv = "no-such-environment" }),
		},
		{
			name: "start a Viewer, local port taken", want: "FailedPrecondition REMOTE_PORT_TAKEN",
			call: start(func(t *testing.T, req *runicornapiv1.StartViewerRequest) {
				req.LocalPort = new(portOf(t, s.viewer.URL()))
			}),
		},
		{name: "start a Viewer", want: "OK", call: func(t *testing.T) (err error) {
			session, err = s.startViewer(t.Context(), s.startRequest(t, nil))
			if session.GetViewer() != s.name+"."+session.GetSessionId() || session.GetUnreachableReason() != "" {
				t.Fatalf("the session is %v, %v", session, err)
			}
			return err
		}},
		{name: "list experiments of the new Viewer through another replica", want: "OK", call: func(t *testing.T) error {
			got, err := listExperiments(t.Context(), s.b, session.GetViewer())
			if err == nil && (len(got.GetExperiments()) != 2 || got.GetExperiments()[0].GetRunId() != s.run.RunID) {
				t.Errorf("experiments on the server: %v", got)
			}
			return err
		}},
		{name: "the run has nine points", call: func(t *testing.T) error { return s.awaitPoints(t, session.GetViewer(), 9) }},
		{name: "the run has one more after it was logged", call: func(t *testing.T) error {
			return errors.Join(s.grow(), s.awaitPoints(t, session.GetViewer(), 10))
		}},
		{name: "another replica lists the new Viewer as tunneled", want: "OK", call: func(t *testing.T) error {
			got, err := listedViewer(t.Context(), s.b, session.GetViewer())
			if got.GetOrigin() != runicornapiv1.ViewerOrigin_VIEWER_ORIGIN_TUNNELED {
				t.Errorf("%s is listed as %v", session.GetViewer(), got)
			}
			return err
		}},
		s.remotePortTaken(),
		{
			name: "start a Viewer, local port of another session", want: "FailedPrecondition REMOTE_PORT_TAKEN",
			call: start(func(_ *testing.T, req *runicornapiv1.StartViewerRequest) { req.LocalPort = new(session.GetLocalPort()) }),
		},
		{name: "health of the new Viewer", want: "OK", call: func(t *testing.T) error {
			return awaitHealth(t, s.a, session.GetViewer(), grpc_health_v1.HealthCheckResponse_SERVING)
		}},
		{name: "stop the Viewer", want: "OK", call: func(t *testing.T) error { return s.stopViewer(t.Context(), s.a, session) }},
		{name: "list experiments of a stopped Viewer", want: "NotFound VIEWER_NOT_FOUND", call: func(t *testing.T) error {
			_, err := listExperiments(t.Context(), s.a, session.GetViewer())
			return err
		}},
		{name: "health of a stopped Viewer", want: "OK", call: func(t *testing.T) error {
			return awaitHealth(t, s.a, session.GetViewer(), grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN)
		}},
		{name: "stop a Viewer that is not there", want: "NotFound SESSION_NOT_FOUND", call: func(t *testing.T) error {
			return s.stopViewer(t.Context(), s.a, session)
		}},
	}
}

// remotePortTaken starts a Viewer on a port of the server that is in use; the Viewers
// take its listener for the new Viewer. Their cleanup may kill the listener, so it does
// not belong to the server's account.
func (s *remoteStory) remotePortTaken() remoteStep {
	return remoteStep{
		name: "start a Viewer, remote port of another Viewer", want: "FailedPrecondition REMOTE_PORT_TAKEN",
		skip: s.sshd.Password == "", // the account is the tests' own
		call: func(t *testing.T) error {
			other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, `{"status": "ok", "version": "0.6.0", "storage": "/of/another"}`)
			}))
			defer other.Close()
			req := s.startRequest(t, nil)
			req.RemotePort = new(portOf(t, other.URL))
			_, refused := s.startViewer(t.Context(), req)
			sessions, err := s.a.remote.ListViewerSessions(t.Context(), &runicornapiv1.ListViewerSessionsRequest{Viewer: s.name})
			if err != nil || len(sessions.GetSessions()) != 1 { // the one before
				t.Errorf("it left %v, %v", sessions, err)
			}
			return refused
		},
	}
}

// awaitPoints waits until the run on the server has so many points: tables of
// 0.5.3 may be a few seconds old.
func (s *remoteStory) awaitPoints(t *testing.T, viewer string, want int) error {
	t.Helper()
	return eventually(t, 20*time.Second, func(ctx context.Context) error {
		got, err := s.a.metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: s.run.RunID})
		if err != nil || len(got.GetSeries()) != 1 || len(got.GetSeries()[0].GetSteps()) != want {
			return fmt.Errorf("metrics on the server: %v, %w, want %d points", got, err, want)
		}
		return nil
	})
}

// disconnectSteps disconnect twice. 0.7.2 has closed the connection with its
// last session.
func (s *remoteStory) disconnectSteps() []remoteStep {
	const none = "NotFound CONNECTION_NOT_FOUND"
	disconnect := func(t *testing.T) error {
		_, err := s.closeConnection(t.Context(), s.id())
		return err
	}
	return []remoteStep{
		{name: "disconnect after the last session was stopped", want: s.on(realviewer.V072, none, "OK"), call: disconnect},
		{name: "disconnect again", want: none, call: disconnect},
	}
}

// drainSteps have a third server start a Viewer and end: what it has started
// ends with it, and what another one has started remains.
func (s *remoteStory) drainSteps() []remoteStep {
	var remains, ended *runicornapiv1.ViewerSession
	return []remoteStep{
		{name: "a Viewer is started", call: func(t *testing.T) (err error) {
			s.disconnect(t)
			remains, err = s.startViewer(t.Context(), s.startRequest(t, s.login()))
			return err
		}},
		{name: "a third server starts a Viewer and drains", call: func(t *testing.T) error {
			third, err := startServer(t.Context(), "--stop-remote-on-drain", fmt.Sprintf("--viewer=%s=%s", s.name, s.viewer.URL()))
			if err != nil {
				return err
			}
			answer, err := third.remote.StartViewer(t.Context(), s.startRequest(t, nil))
			ended = answer.GetSession()
			if err := errors.Join(err, third.stop()); err != nil {
				return fmt.Errorf("%w\n%s", err, third.output())
			}
			return nil
		}},
		{name: "the server that started it drains: get the session", want: "NotFound SESSION_NOT_FOUND", call: func(t *testing.T) error {
			return s.getSession(t.Context(), ended)
		}},
		{name: "another server drains: get the session", want: "OK", call: func(t *testing.T) error { return s.getSession(t.Context(), remains) }},
		{name: "the process of the drained Viewer has ended", want: "OK", call: func(t *testing.T) error {
			pid := int(ended.GetRemoteProcessId())
			defer s.disconnect(t)
			return eventually(t, 15*time.Second, func(context.Context) error {
				if pid <= 1 || !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
					return fmt.Errorf("the remote Viewer's process %d is still there", pid)
				}
				return nil
			})
		}},
	}
}

// outageSteps start a Viewer with a key file, kill the SSH server under its
// session, and start both again.
func (s *remoteStory) outageSteps() []remoteStep {
	id, target, hasTunnel := s.id(), s.target(), s.tunnelsByKey() || s.sshd.Password == ""
	target.PrivateKeyPath = s.sshd.Key
	var session *runicornapiv1.ViewerSession
	start := func(t *testing.T, target *runicornapiv1.SshTarget) (err error) {
		t.Helper()
		session, err = s.startAndRead(t, target)
		return err
	}
	return []remoteStep{
		{name: "start a Viewer, key file", want: either(hasTunnel, "OK", noTunnel), call: func(t *testing.T) error { return start(t, target) }},
		{name: "sshd is killed", call: func(*testing.T) error { return s.sshd.Kill() }},
		{
			name: "sshd killed: list experiments of the remote Viewer", want: "Unavailable VIEWER_UNREACHABLE or NotFound VIEWER_NOT_FOUND",
			skip: !hasTunnel, call: func(t *testing.T) error {
				_, err := listExperiments(t.Context(), s.a, session.GetViewer())
				return err
			},
		},
		{
			name: "sshd killed: read over the connection", want: "NotFound CONNECTION_NOT_FOUND or Unavailable SSH_UNREACHABLE",
			call: func(t *testing.T) error {
				_, err := s.remoteConfig(t.Context(), id)
				return err
			},
		},
		{name: "sshd is restarted", call: func(t *testing.T) error { return s.sshd.Restart(t.Context()) }},
		{name: "sshd is back: connect and start again", want: "OK", call: func(t *testing.T) error {
			s.disconnect(t)
			return start(t, s.login())
		}},
		{name: "disconnect with a session (stops it first)", want: "OK", call: func(t *testing.T) error {
			got, err := s.closeConnection(t.Context(), loopback)
			if stopped := got.GetStoppedSessionIds(); !slices.Contains(stopped, session.GetSessionId()) {
				t.Errorf("disconnect stopped %q, but not %s", stopped, session.GetSessionId())
			}
			return err
		}},
	}
}

// portOf is the port of a URL.
func portOf(t *testing.T, at string) int32 {
	t.Helper()
	_, text, _ := strings.Cut(at, "://")
	addr, err := net.ResolveTCPAddr("tcp", text)
	if err != nil {
		t.Fatal(err)
	}
	return int32(addr.Port) //nolint:gosec // a port
}
