package service

import (
	"context"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// remoteService serves RemoteService. That at most one call over SSH runs on a
// Viewer, with a deadline and without retries, is restclient's doing.
type remoteService struct {
	runicornv1.UnimplementedRemoteServiceServer
	Deps
	turns turns
}

// Connect opens a connection, and tells whether it stood already.
func (s *remoteService) Connect(ctx context.Context, req *runicornv1.ConnectRequest) (*runicornv1.ConnectResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	login, err := s.Remote.login(req.GetTarget())
	if err != nil {
		return nil, err
	}
	connection, stood, err := s.connect(ctx, v, login)
	if err != nil {
		return nil, inField("target", err)
	}
	return &runicornv1.ConnectResponse{Connection: connectionOf(v, connection), AlreadyConnected: stood}, nil
}

// Disconnect stops the remote Viewers over a connection, and closes it.
func (s *remoteService) Disconnect(ctx context.Context, req *runicornv1.DisconnectRequest) (*runicornv1.DisconnectResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	id, stopped, err := s.disconnect(ctx, v, req.GetConnectionId())
	if err != nil {
		return nil, err
	}
	return &runicornv1.DisconnectResponse{ConnectionId: validText(id), StoppedSessionIds: stopped}, nil
}

// ListConnections lists what a Viewer holds, broken ones too.
func (s *remoteService) ListConnections(ctx context.Context, req *runicornv1.ListConnectionsRequest) (*runicornv1.ListConnectionsResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	connections, err := v.Client.Connections(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornv1.ListConnectionsResponse{Connections: connectionsOf(v, connections)}, nil
}

// StartViewer starts a remote Viewer, which is a named one at once.
func (s *remoteService) StartViewer(ctx context.Context, req *runicornv1.StartViewerRequest) (*runicornv1.StartViewerResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	session, err := s.start(ctx, v, req)
	if err != nil {
		return nil, err
	}
	return &runicornv1.StartViewerResponse{Session: session}, nil
}

// StopViewer ends a remote Viewer, which leaves the list of viewers at once.
func (s *remoteService) StopViewer(ctx context.Context, req *runicornv1.StopViewerRequest) (*runicornv1.StopViewerResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if err := s.stop(ctx, v, req.GetSessionId()); err != nil {
		return nil, err
	}
	return &runicornv1.StopViewerResponse{SessionId: req.GetSessionId()}, nil
}

// ListViewerSessions lists the remote Viewers of a Viewer.
func (s *remoteService) ListViewerSessions(ctx context.Context, req *runicornv1.ListViewerSessionsRequest) (*runicornv1.ListViewerSessionsResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	sessions, err := v.Client.Sessions(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornv1.ListViewerSessionsResponse{Sessions: s.sessionsOf(v, sessions)}, nil
}

// GetViewerSession gets one remote Viewer of a Viewer.
func (s *remoteService) GetViewerSession(ctx context.Context, req *runicornv1.GetViewerSessionRequest) (*runicornv1.GetViewerSessionResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	session, err := v.Client.Session(ctx, req.GetSessionId())
	if err != nil {
		return nil, err
	}
	return &runicornv1.GetViewerSessionResponse{Session: s.sessionOf(v, session)}, nil
}

// ListDirectory lists a folder of a connected machine.
func (s *remoteService) ListDirectory(ctx context.Context, req *runicornv1.ListDirectoryRequest) (*runicornv1.ListDirectoryResponse, error) {
	v, id, err := s.over(ctx, req)
	if err != nil {
		return nil, err
	}
	path := req.GetPath()
	if path == "" {
		path = home
	}
	directory, err := v.Client.ListDirectory(ctx, id, path)
	if err != nil {
		return nil, err
	}
	return directoryAnswer(directory), nil
}

// CheckPath says what a path of a connected machine is.
func (s *remoteService) CheckPath(ctx context.Context, req *runicornv1.CheckPathRequest) (*runicornv1.CheckPathResponse, error) {
	v, id, err := s.over(ctx, req)
	if err != nil {
		return nil, err
	}
	info, err := v.Client.CheckPath(ctx, id, req.GetPath())
	if err != nil {
		return nil, err
	}
	return &runicornv1.CheckPathResponse{
		Path: validText(info.Path.Value), Exists: info.Exists, IsDirectory: info.IsDir,
	}, nil
}

// ListPythonEnvironments lists the Pythons of a connected machine.
func (s *remoteService) ListPythonEnvironments(ctx context.Context, req *runicornv1.ListPythonEnvironmentsRequest) (*runicornv1.ListPythonEnvironmentsResponse, error) {
	v, id, err := s.over(ctx, req)
	if err != nil {
		return nil, err
	}
	environments, err := v.Client.PythonEnvironments(ctx, id)
	if err != nil {
		return nil, err
	}
	return environmentsAnswer(environments), nil
}

// GetRemoteConfig says what a Python of a connected machine has.
func (s *remoteService) GetRemoteConfig(ctx context.Context, req *runicornv1.GetRemoteConfigRequest) (*runicornv1.GetRemoteConfigResponse, error) {
	v, id, err := s.over(ctx, req)
	if err != nil {
		return nil, err
	}
	config, err := v.Client.RemoteConfig(ctx, id, req.GetCondaEnv())
	if err != nil {
		return nil, err
	}
	return remoteConfigAnswer(id, config), nil
}

// GetRemoteStatus gets connections and sessions of a Viewer in one call.
func (s *remoteService) GetRemoteStatus(ctx context.Context, req *runicornv1.GetRemoteStatusRequest) (*runicornv1.GetRemoteStatusResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	status, err := v.Client.RemoteStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornv1.GetRemoteStatusResponse{
		Connections: connectionsOf(v, status.Connections), Sessions: s.sessionsOf(v, status.Sessions),
	}, nil
}

// AcceptHostKey makes a key known.
func (s *remoteService) AcceptHostKey(ctx context.Context, req *runicornv1.AcceptHostKeyRequest) (*runicornv1.AcceptHostKeyResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if err := v.Client.AcceptHostKey(ctx, keyIn(req.GetHostKey())); err != nil {
		return nil, inField("host_key", err)
	}
	return &runicornv1.AcceptHostKeyResponse{HostKey: req.GetHostKey()}, nil
}

// ListHostKeys lists the known keys.
func (s *remoteService) ListHostKeys(ctx context.Context, req *runicornv1.ListHostKeysRequest) (*runicornv1.ListHostKeysResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	keys, err := v.Client.HostKeys(ctx)
	if err != nil {
		return nil, err
	}
	out := &runicornv1.ListHostKeysResponse{}
	for i := range keys {
		out.HostKeys = append(out.HostKeys, hostKeyOf(&keys[i]))
	}
	return out, nil
}

// RemoveHostKey forgets a key.
func (s *remoteService) RemoveHostKey(ctx context.Context, req *runicornv1.RemoveHostKeyRequest) (*runicornv1.RemoveHostKeyResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	removed, err := v.Client.RemoveHostKey(ctx, req.GetHost(), portOr22(req.Port), req.GetKeyType())
	if err != nil {
		return nil, err
	}
	return &runicornv1.RemoveHostKeyResponse{Removed: removed}, nil
}

// ListSavedConnections lists what a Viewer remembers.
func (s *remoteService) ListSavedConnections(ctx context.Context, req *runicornv1.ListSavedConnectionsRequest) (*runicornv1.ListSavedConnectionsResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	saved, err := v.Client.SavedConnections(ctx)
	if err != nil {
		return nil, err
	}
	out := &runicornv1.ListSavedConnectionsResponse{}
	for _, one := range saved {
		out.SavedConnections = append(out.SavedConnections, savedOf(one))
	}
	return out, nil
}

// SaveConnection has a Viewer remember a connection.
func (s *remoteService) SaveConnection(ctx context.Context, req *runicornv1.SaveConnectionRequest) (*runicornv1.SaveConnectionResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	login, err := s.Remote.login(req.GetTarget())
	if err != nil {
		return nil, err
	}
	saved, err := save(ctx, v, restclient.SaveRequest{
		Login: login, Name: req.GetDisplayName(), AuthMethod: authMethod(login), Remember: req.GetRememberSecrets(),
	})
	if err != nil {
		return nil, err
	}
	return &runicornv1.SaveConnectionResponse{SavedConnection: saved}, nil
}

// DeleteSavedConnection has a Viewer forget a connection.
func (s *remoteService) DeleteSavedConnection(ctx context.Context, req *runicornv1.DeleteSavedConnectionRequest) (*runicornv1.DeleteSavedConnectionResponse, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if _, err := findSaved(ctx, v, req.GetSavedConnectionId()); err != nil {
		return nil, err
	}
	if err := v.Client.DeleteSaved(ctx, req.GetSavedConnectionId()); err != nil {
		return nil, inField("saved_connection_id", err)
	}
	return &runicornv1.DeleteSavedConnectionResponse{SavedConnectionId: req.GetSavedConnectionId()}, nil
}
