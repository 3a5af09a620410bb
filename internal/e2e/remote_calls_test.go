package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// loopback is the host of every SSH server. A bare host names a connection as
// long as only one matches.
const loopback = "127.0.0.1"

// connect opens a connection.
func (s *remoteStory) connect(ctx context.Context, target *runicornapiv1.SshTarget) (*runicornapiv1.OpenConnectionResponse, error) {
	return s.a.remote.OpenConnection(ctx, &runicornapiv1.OpenConnectionRequest{Viewer: s.name, Target: target})
}

// connects is a step that opens a connection and closes it again.
func (s *remoteStory) connects(name, want string, target *runicornapiv1.SshTarget) remoteStep {
	return remoteStep{name: name, want: want, call: func(t *testing.T) error {
		_, err := s.connect(t.Context(), target)
		s.disconnect(t)
		return err
	}}
}

// disconnect closes all connections.
func (s *remoteStory) disconnect(t *testing.T) {
	t.Helper()
	all, err := s.a.remote.ListConnections(t.Context(), &runicornapiv1.ListConnectionsRequest{Viewer: s.name})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.GetConnections() {
		if _, err := s.closeConnection(t.Context(), c.GetConnectionId()); err != nil {
			t.Errorf("disconnect: %v", err)
		}
	}
}

func (s *remoteStory) closeConnection(ctx context.Context, id string) (*runicornapiv1.CloseConnectionResponse, error) {
	return s.a.remote.CloseConnection(ctx, &runicornapiv1.CloseConnectionRequest{Viewer: s.name, ConnectionId: id})
}

func (s *remoteStory) acceptHostKey(ctx context.Context, key *runicornapiv1.HostKey) error {
	_, err := s.a.remote.AcceptHostKey(ctx, &runicornapiv1.AcceptHostKeyRequest{Viewer: s.name, HostKey: key})
	return err
}

func (s *remoteStory) remoteConfig(ctx context.Context, connection string) (*runicornapiv1.GetRemoteConfigResponse, error) {
	return s.a.remote.GetRemoteConfig(ctx, &runicornapiv1.GetRemoteConfigRequest{Viewer: s.name, ConnectionId: connection})
}

// startRequest requests a Viewer of the runs: after a login if there is a target,
// otherwise over the open connection. Its ports are set, because here the servers are one
// machine, and Viewers that look for free ports at the same time find the same ones.
func (s *remoteStory) startRequest(t *testing.T, target *runicornapiv1.SshTarget) *runicornapiv1.StartViewerRequest {
	t.Helper()
	local, remote := quietPort(t), quietPort(t)
	req := &runicornapiv1.StartViewerRequest{Viewer: s.name, RemoteRoot: s.root, LocalPort: &local, RemotePort: &remote, Target: target}
	if target == nil {
		req.ConnectionId = loopback
	}
	return req
}

func (s *remoteStory) startViewer(ctx context.Context, req *runicornapiv1.StartViewerRequest) (*runicornapiv1.ViewerSession, error) {
	answer, err := s.a.remote.StartViewer(ctx, req)
	return answer.GetSession(), err
}

// noTunnel is the expected result of startAndRead if the tunnel cannot be made. A Viewer
// waits two seconds for its failure. On a busy machine that may be too short; then the
// session exists, but does not answer.
const noTunnel = "FailedPrecondition REMOTE_VIEWER_FAILED or Unavailable without a reason or " +
	"Unavailable VIEWER_UNREACHABLE or NotFound VIEWER_NOT_FOUND"

// startAndRead logs in, starts a Viewer and reads from it through the other
// replica.
func (s *remoteStory) startAndRead(t *testing.T, target *runicornapiv1.SshTarget) (*runicornapiv1.ViewerSession, error) {
	t.Helper()
	session, err := s.startViewer(t.Context(), s.startRequest(t, target))
	if err != nil {
		return nil, err
	}
	if reason := session.GetUnreachableReason(); reason != "" {
		err = status.Error(codes.Unavailable, reason)
	} else {
		_, err = listExperiments(t.Context(), s.b, session.GetViewer())
	}
	if err != nil {
		s.disconnect(t) // as after a start that fails
	}
	return session, err
}

func (s *remoteStory) stopViewer(ctx context.Context, srv *server, session *runicornapiv1.ViewerSession) error {
	_, err := srv.remote.StopViewer(ctx, &runicornapiv1.StopViewerRequest{Viewer: s.name, SessionId: session.GetSessionId()})
	return err
}

func (s *remoteStory) getSession(ctx context.Context, session *runicornapiv1.ViewerSession) error {
	_, err := s.a.remote.GetViewerSession(ctx, &runicornapiv1.GetViewerSessionRequest{Viewer: s.name, SessionId: session.GetSessionId()})
	return err
}

func listExperiments(ctx context.Context, srv *server, viewer string) (*runicornapiv1.ListExperimentsResponse, error) {
	return srv.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: viewer})
}

// listedViewer returns a viewer as a server lists it, nil where it does not.
func listedViewer(ctx context.Context, srv *server, name string) (*runicornapiv1.Viewer, error) {
	answer, err := srv.viewers.ListViewers(ctx, &runicornapiv1.ListViewersRequest{})
	for _, v := range answer.GetViewers() {
		if v.GetViewer() == name {
			return v, err
		}
	}
	return nil, err
}

// awaitHealth waits for the health of a viewer.
func awaitHealth(t *testing.T, srv *server, viewer string, want grpc_health_v1.HealthCheckResponse_ServingStatus) error {
	t.Helper()
	return eventually(t, 20*time.Second, func(ctx context.Context) error {
		got, err := srv.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "viewer/" + viewer})
		if err != nil || got.GetStatus() != want {
			return fmt.Errorf("health of %s is %v (%w), want %v", viewer, got.GetStatus(), err, want)
		}
		return nil
	})
}

// eventually calls check until it succeeds, and returns its last error after a
// time.
func eventually(t *testing.T, limit time.Duration, check func(context.Context) error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// quietPort returns a free port that no outgoing connection is given: seconds
// pass before a tunnel listens at it.
func quietPort(t *testing.T) int32 {
	t.Helper()
	for range 100 {
		port := 20000 + rand.Int32N(10000)
		if l, err := net.Listen("tcp4", fmt.Sprintf("%s:%d", loopback, port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
