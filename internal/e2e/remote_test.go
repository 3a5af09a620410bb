package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestRemote_OverARealSSHServer goes through everything that RemoteService
// does, on each generation with the ssh program and without, and at the end
// looks for the secrets of all calls in everything that the servers said.
func TestRemote_OverARealSSHServer(t *testing.T) {
	t.Parallel()
	labs, a, b := startRemote(t)
	out := &outcomes{}
	var going sync.WaitGroup // all at once, though there may be fewer processors: they mostly wait
	for _, l := range labs {
		going.Go(func() {
			t.Run(l.name, func(t *testing.T) {
				t.Cleanup(func() {
					if log := l.sshd.Log(); t.Failed() {
						t.Logf("the Viewer wrote:\n%s\nsshd wrote:\n%s", l.viewer.Output(), log[max(0, len(log)-8<<10):])
					}
				})
				(&remoteStory{remoteLab: l, a: a, b: b, out: out}).report(t)
			})
		})
	}
	going.Wait()
	out.print(t, labs)
	wantNoSecrets(t, labs, out, a, b)
}

// remoteStory is what happens in one lab: a and b are two replicas of the
// server.
type remoteStory struct {
	*remoteLab
	a, b *server
	out  *outcomes
}

// report tells it from the beginning to the end.
func (s *remoteStory) report(t *testing.T) {
	if s.version == realviewer.V072 && !s.ssh {
		s.followTheReadme(t)
	}
	s.acceptTheHostKey(t)
	s.tryPasswords(t)
	s.lookAround(t)
	s.watchTheRun(t)
	s.leave(t)
	s.tailThroughSessions(t)
	s.tryKeys(t)
	s.useTheAgent(t)
	s.missTheServer(t)
	s.keepConnections(t)
	s.loseTheServer(t)
	s.waitForSilence(t)
}

// want notes the outcome of a call.
func (s *remoteStory) want(t *testing.T, name, want string, call func() error) {
	t.Helper()
	s.out.want(t, s.remoteLab, name, want, call)
}

// on05 is what is wanted where 0.5 differs.
func (s *remoteStory) on05(want05, others string) string {
	if s.version == realviewer.V053 {
		return want05
	}
	return others
}

// connect connects, and returns the answer.
func (s *remoteStory) connect(t *testing.T, target *runicornapiv1.SshTarget) (*runicornapiv1.OpenConnectionResponse, error) {
	t.Helper()
	return s.a.remote.OpenConnection(t.Context(), &runicornapiv1.OpenConnectionRequest{Viewer: s.name, Target: target})
}

// wantConnect notes the outcome of a connection, which it closes again.
func (s *remoteStory) wantConnect(t *testing.T, name, want string, target *runicornapiv1.SshTarget) {
	t.Helper()
	s.want(t, name, want, func() error {
		_, err := s.connect(t, target)
		return err
	})
	s.disconnect(t)
}

// disconnect closes what is open.
func (s *remoteStory) disconnect(t *testing.T) {
	t.Helper()
	all, err := s.a.remote.ListConnections(t.Context(), &runicornapiv1.ListConnectionsRequest{Viewer: s.name})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.GetConnections() {
		_, err := s.a.remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{Viewer: s.name, ConnectionId: c.GetConnectionId()})
		if err != nil {
			t.Errorf("disconnect: %v", err)
		}
	}
}

// acceptTheHostKey connects to a server that the Viewer has never seen, and to
// one whose key has changed.
func (s *remoteStory) acceptTheHostKey(t *testing.T) {
	var refused error
	s.want(t, "unknown host key", s.on05("OK", "FailedPrecondition HOST_KEY_UNKNOWN"), func() error {
		_, refused = s.connect(t, s.login())
		return refused
	})
	if refused == nil {
		s.disconnect(t)
	}
	key := s.hostKey(t)
	if got := hostKeyOf(refused); refused != nil && (got.GetPublicKey() != key.GetPublicKey() || got.GetFingerprintSha256() != key.GetFingerprintSha256()) {
		t.Errorf("the error presents the host key %v, but the server has %v", got, key)
	}
	accept := func(key *runicornapiv1.HostKey) error {
		_, err := s.a.remote.AcceptHostKey(t.Context(), &runicornapiv1.AcceptHostKeyRequest{Viewer: s.name, HostKey: key})
		return err
	}
	ours := s.on05("Unimplemented VIEWER_LACKS_CAPABILITY", "OK")
	s.want(t, "accept a host key", ours, func() error { return accept(key) })
	if s.version == realviewer.V053 {
		return
	}
	other := s.publicKey(t, s.sshd.ForeignKey+".pub")
	if err := accept(other); err != nil {
		t.Fatal(err)
	}
	s.want(t, "changed host key", "FailedPrecondition HOST_KEY_CHANGED", func() error {
		_, refused = s.connect(t, s.login())
		return refused
	})
	if err := accept(hostKeyOf(refused)); err != nil {
		t.Error(err)
	}
	listed, err := s.a.remote.ListHostKeys(t.Context(), &runicornapiv1.ListHostKeysRequest{Viewer: s.name})
	if err != nil || len(listed.GetHostKeys()) != 1 || listed.GetHostKeys()[0].GetPublicKey() != key.GetPublicKey() {
		t.Errorf("known host keys: %v, %v", listed, err)
	}
}

// tryPasswords logs in with a wrong password, the right one, and then a wrong
// one again, which nobody checks.
func (s *remoteStory) tryPasswords(t *testing.T) {
	wrong := s.target()
	wrong.Password = wrongPassword
	if s.sshd.Password != "" {
		s.countLogins(t)
	}
	s.want(t, "connect", "OK", func() error {
		answer, err := s.connect(t, s.login())
		if answer.GetAlreadyConnected() {
			t.Error("the first connection stood already")
		}
		return err
	})
	s.want(t, "connect again, with a wrong password (already_connected)", "OK", func() error {
		answer, err := s.connect(t, wrong)
		if !answer.GetAlreadyConnected() {
			t.Error("a connection whose credentials nobody checked is not called already_connected")
		}
		return err
	})
}

// lookAround reads the server, by the bare host: only one connection matches.
func (s *remoteStory) lookAround(t *testing.T) {
	ctx, host := t.Context(), "127.0.0.1"
	files := "OK"
	if s.version == realviewer.V072 {
		files = "Unimplemented VIEWER_LACKS_CAPABILITY"
	}
	s.want(t, "list a directory", files, func() error {
		got, err := s.a.remote.ListDirectory(ctx, &runicornapiv1.ListDirectoryRequest{Viewer: s.name, ConnectionId: host})
		isOurs := s.sshd.Password != "" // else the account has a home of its own
		if err == nil && (got.GetPath() == "" || isOurs && (got.GetPath() != s.sshd.Home || len(got.GetEntries()) == 0)) {
			t.Errorf("the home is %v", got)
		}
		return err
	})
	s.want(t, "list a directory that is not there", strings.Replace(files, "OK", "NotFound RESOURCE_NOT_FOUND", 1), func() error {
		_, err := s.a.remote.ListDirectory(ctx, &runicornapiv1.ListDirectoryRequest{Viewer: s.name, ConnectionId: host, Path: "/none"})
		return err
	})
	s.want(t, "check a path", files, func() error {
		got, err := s.a.remote.CheckPath(ctx, &runicornapiv1.CheckPathRequest{Viewer: s.name, ConnectionId: host, Path: s.root})
		if err == nil && (!got.GetExists() || !got.GetIsDirectory()) {
			t.Errorf("the root is %v", got)
		}
		return err
	})
	marker := filepath.Join(s.sshd.Home, "executed")
	s.want(t, "check a path with a quote", "InvalidArgument INVALID_REQUEST", func() error {
		_, err := s.a.remote.CheckPath(ctx, &runicornapiv1.CheckPathRequest{
			Viewer: s.name, ConnectionId: host, Path: "/tmp'; touch '" + marker,
		})
		return err
	})
	if _, err := os.Stat(marker); err == nil {
		t.Error("the path was executed")
	}
	s.want(t, "list Python environments", "OK", func() error {
		got, err := s.a.remote.ListPythonEnvironments(ctx, &runicornapiv1.ListPythonEnvironmentsRequest{Viewer: s.name, ConnectionId: host})
		if err == nil && len(got.GetEnvironments()) == 0 {
			t.Error("there is no Python")
		}
		return err
	})
	s.want(t, "get the remote configuration", "OK", func() error {
		got, err := s.a.remote.GetRemoteConfig(ctx, &runicornapiv1.GetRemoteConfigRequest{Viewer: s.name, ConnectionId: host})
		if err == nil && got.GetRunicornVersion() == "" {
			t.Errorf("the server has no runicorn: %v", got)
		}
		return err
	})
	s.want(t, "read over a connection that is not there", "NotFound CONNECTION_NOT_FOUND", func() error {
		_, err := s.a.remote.GetRemoteConfig(ctx, &runicornapiv1.GetRemoteConfigRequest{Viewer: s.name, ConnectionId: "nobody@127.0.0.1:1"})
		return err
	})
}

// watchTheRun starts a Viewer on the server and reads the growing run there
// through both replicas.
func (s *remoteStory) watchTheRun(t *testing.T) {
	ctx := t.Context()
	start := func(change func(*runicornapiv1.StartViewerRequest)) (*runicornapiv1.ViewerSession, error) {
		req := s.startRequest(t)
		req.ConnectionId = "127.0.0.1"
		change(req)
		answer, err := s.a.remote.StartViewer(ctx, req)
		return answer.GetSession(), err
	}
	s.want(t, "start a Viewer in an unknown environment", "InvalidArgument INVALID_REQUEST", func() error {
		_, err := start(func(req *runicornapiv1.StartViewerRequest) { req.CondaEnv = "no-such-environment" })
		return err
	})
	s.want(t, "start a Viewer, local port taken", "FailedPrecondition REMOTE_PORT_TAKEN", func() error {
		_, err := start(func(req *runicornapiv1.StartViewerRequest) { req.LocalPort = new(portOf(t, s.viewer.URL())) })
		return err
	})
	var session *runicornapiv1.ViewerSession
	s.want(t, "start a Viewer", "OK", func() (err error) {
		session, err = start(func(*runicornapiv1.StartViewerRequest) {})
		return err
	})
	viewer := session.GetViewer()
	if viewer != s.name+"."+session.GetSessionId() || session.GetUnreachableReason() != "" {
		t.Fatalf("the session is %v", session)
	}
	s.readThroughBoth(t, viewer)
	s.takeTheRemotePort(t, start)
	s.want(t, "start a Viewer, local port of another session", "FailedPrecondition REMOTE_PORT_TAKEN", func() error {
		_, err := start(func(req *runicornapiv1.StartViewerRequest) { req.LocalPort = new(session.GetLocalPort()) })
		return err
	})
	if err := awaitHealth(ctx, s.a, viewer, grpc_health_v1.HealthCheckResponse_SERVING); err != nil {
		t.Error(err)
	}
	s.want(t, "stop the Viewer", "OK", func() error {
		_, err := s.a.remote.StopViewer(ctx, &runicornapiv1.StopViewerRequest{Viewer: s.name, SessionId: session.GetSessionId()})
		return err
	})
	s.want(t, "list experiments of a stopped Viewer", "NotFound VIEWER_NOT_FOUND", func() error {
		_, err := s.a.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: viewer})
		return err
	})
	if err := awaitHealth(ctx, s.a, viewer, grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN); err != nil {
		t.Error(err)
	}
	s.want(t, "stop a Viewer that is not there", "NotFound SESSION_NOT_FOUND", func() error {
		_, err := s.a.remote.StopViewer(ctx, &runicornapiv1.StopViewerRequest{Viewer: s.name, SessionId: session.GetSessionId()})
		return err
	})
}

// takeTheRemotePort starts a Viewer where another one listens on the server,
// which the Viewers take for the new one. What cleans up there may end whoever
// has the port, so here that is nobody of the server's account.
func (s *remoteStory) takeTheRemotePort(t *testing.T, start func(func(*runicornapiv1.StartViewerRequest)) (*runicornapiv1.ViewerSession, error)) {
	if s.sshd.Password == "" {
		return // the account is the tests' own
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"status": "ok", "version": "0.6.0", "storage": "/of/another"}`)
	}))
	defer other.Close()
	s.want(t, "start a Viewer, remote port of another Viewer", "FailedPrecondition REMOTE_PORT_TAKEN", func() error {
		_, err := start(func(req *runicornapiv1.StartViewerRequest) { req.RemotePort = new(portOf(t, other.URL)) })
		return err
	})
	sessions, err := s.a.remote.ListViewerSessions(t.Context(), &runicornapiv1.ListViewerSessionsRequest{Viewer: s.name})
	if err != nil || len(sessions.GetSessions()) != 1 { // the one before
		t.Errorf("it left %v, %v", sessions, err)
	}
}

// readThroughBoth reads the run on the server: the list through the replica
// that has heard of nothing, and the points before and after one more was
// logged.
func (s *remoteStory) readThroughBoth(t *testing.T, viewer string) {
	ctx := t.Context()
	s.want(t, "list experiments of the new Viewer through another replica", "OK", func() error {
		got, err := s.b.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: viewer})
		if err == nil && (len(got.GetExperiments()) != 2 || got.GetExperiments()[0].GetRunId() != s.run.RunID) {
			t.Errorf("experiments on the server: %v", got)
		}
		return err
	})
	s.awaitPoints(t, viewer, 9)
	if err := s.grow(); err != nil {
		t.Fatal(err)
	}
	s.awaitPoints(t, viewer, 10)
	listed, err := s.b.viewers.ListViewers(ctx, &runicornapiv1.ListViewersRequest{})
	found := false
	for _, v := range listed.GetViewers() {
		if v.GetViewer() == viewer {
			found = v.GetOrigin() == runicornapiv1.ViewerOrigin_VIEWER_ORIGIN_TUNNELED
		}
	}
	if err != nil || !found {
		t.Errorf("ListViewers lacks %s: %v, %v", viewer, listed, err)
	}
}

// awaitPoints waits until the run on the server has so many points: tables of
// 0.5.3 may be a few seconds old.
func (s *remoteStory) awaitPoints(t *testing.T, viewer string, want int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := s.a.metrics.GetMetrics(ctx, &runicornapiv1.GetMetricsRequest{Viewer: viewer, RunId: s.run.RunID})
		if err == nil && len(got.GetSeries()) == 1 && len(got.GetSeries()[0].GetSteps()) == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("metrics on the server: %v, %v, want %d points", got, err, want)
		}
	}
}

// leave disconnects, twice. 0.7.2 has closed the connection with its last
// session.
func (s *remoteStory) leave(t *testing.T) {
	disconnect := func() error {
		_, err := s.a.remote.CloseConnection(t.Context(), &runicornapiv1.CloseConnectionRequest{Viewer: s.name, ConnectionId: s.id()})
		return err
	}
	first := "OK"
	if s.version == realviewer.V072 {
		first = "NotFound CONNECTION_NOT_FOUND"
	}
	s.want(t, "disconnect after the last session was stopped", first, disconnect)
	s.want(t, "disconnect again", "NotFound CONNECTION_NOT_FOUND", disconnect)
}
