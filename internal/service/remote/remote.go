// Package remote serves RemoteService: what a Viewer does over SSH.
package remote

import (
	"cmp"
	"context"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// Config holds what the service depends on.
type Config struct {
	Fleet *fleet.Fleet
	// Policy is what callers may have Viewers do.
	Policy Policy
}

// Service serves RemoteService. restclient ensures that at most one call over SSH runs
// per Viewer, with a deadline and without retries.
type Service struct {
	runicornapiv1.UnimplementedRemoteServiceServer
	config Config
	locks  viewerMutex
}

// New returns the service.
func New(c Config) *Service { return &Service{config: c} }

// pageOf returns the requested page of items, or err.
func pageOf[M proto.Message](req page.Request, items []M, err error, id func(M) string) ([]M, string, error) {
	if err != nil {
		return nil, "", err
	}
	return page.InOrder(req, items, id)
}

// OpenConnection opens a connection, and reports whether it was already open.
func (s *Service) OpenConnection(ctx context.Context, req *runicornapiv1.OpenConnectionRequest) (*runicornapiv1.OpenConnectionResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	login, err := s.config.Policy.login(req.GetTarget())
	if err != nil {
		return nil, err
	}
	connection, alreadyConnected, err := s.connect(ctx, v, login)
	if err != nil {
		return nil, prefixField("target", err)
	}
	return &runicornapiv1.OpenConnectionResponse{Connection: connectionOf(v, connection), AlreadyConnected: alreadyConnected}, nil
}

// CloseConnection stops the remote Viewers that use a connection, then closes it.
func (s *Service) CloseConnection(ctx context.Context, req *runicornapiv1.CloseConnectionRequest) (*runicornapiv1.CloseConnectionResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	id, stopped, err := s.disconnect(ctx, v, req.GetConnectionId())
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.CloseConnectionResponse{ConnectionId: convert.Text(id), StoppedSessionIds: stopped}, nil
}

// ListConnections lists the connections of a Viewer, including broken ones.
func (s *Service) ListConnections(ctx context.Context, req *runicornapiv1.ListConnectionsRequest) (*runicornapiv1.ListConnectionsResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	connections, err := v.Client.Connections(ctx)
	page, next, err := pageOf(req, connectionsOf(v, connections), err, (*runicornapiv1.Connection).GetConnectionId)
	return &runicornapiv1.ListConnectionsResponse{Connections: page, NextPageToken: next}, err
}

// StartViewer starts a remote Viewer, which gets a name in the list of Viewers
// immediately.
func (s *Service) StartViewer(ctx context.Context, req *runicornapiv1.StartViewerRequest) (*runicornapiv1.StartViewerResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	session, err := s.start(ctx, v, req)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.StartViewerResponse{Session: session}, nil
}

// StopViewer stops a remote Viewer, which is removed from the list of Viewers
// immediately.
func (s *Service) StopViewer(ctx context.Context, req *runicornapiv1.StopViewerRequest) (*runicornapiv1.StopViewerResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if err := s.stop(ctx, v, req.GetSessionId()); err != nil {
		return nil, err
	}
	return &runicornapiv1.StopViewerResponse{SessionId: req.GetSessionId()}, nil
}

// ListViewerSessions lists the remote Viewers of a Viewer.
func (s *Service) ListViewerSessions(ctx context.Context, req *runicornapiv1.ListViewerSessionsRequest) (*runicornapiv1.ListViewerSessionsResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	sessions, err := v.Client.Sessions(ctx)
	page, next, err := pageOf(req, s.sessionsOf(v, sessions), err, (*runicornapiv1.ViewerSession).GetSessionId)
	return &runicornapiv1.ListViewerSessionsResponse{Sessions: page, NextPageToken: next}, err
}

// GetViewerSession reads one remote Viewer of a Viewer.
func (s *Service) GetViewerSession(ctx context.Context, req *runicornapiv1.GetViewerSessionRequest) (*runicornapiv1.GetViewerSessionResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	session, err := v.Client.Session(ctx, req.GetSessionId())
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetViewerSessionResponse{Session: s.sessionOf(v, session)}, nil
}

// ListDirectory lists a directory of a connected machine.
func (s *Service) ListDirectory(ctx context.Context, req *runicornapiv1.ListDirectoryRequest) (*runicornapiv1.ListDirectoryResponse, error) {
	v, id, err := s.resolveConnection(ctx, req)
	if err != nil {
		return nil, err
	}
	directory, err := v.Client.ListDirectory(ctx, id, cmp.Or(req.GetPath(), home))
	if err != nil {
		return nil, err
	}
	page, next, err := pageOf(req, entriesOf(directory), nil, (*runicornapiv1.DirectoryEntry).GetName)
	return &runicornapiv1.ListDirectoryResponse{Path: convert.Text(directory.Path.Value), Entries: page, NextPageToken: next}, err
}

// CheckPath reports what a path of a connected machine is.
func (s *Service) CheckPath(ctx context.Context, req *runicornapiv1.CheckPathRequest) (*runicornapiv1.CheckPathResponse, error) {
	v, id, err := s.resolveConnection(ctx, req)
	if err != nil {
		return nil, err
	}
	info, err := v.Client.CheckPath(ctx, id, req.GetPath())
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.CheckPathResponse{
		Path: convert.Text(info.Path.Value), Exists: info.Exists, IsDirectory: info.IsDir,
	}, nil
}

// ListPythonEnvironments lists the Python environments of a connected machine.
func (s *Service) ListPythonEnvironments(ctx context.Context, req *runicornapiv1.ListPythonEnvironmentsRequest) (*runicornapiv1.ListPythonEnvironmentsResponse, error) {
	v, id, err := s.resolveConnection(ctx, req)
	if err != nil {
		return nil, err
	}
	environments, err := v.Client.PythonEnvironments(ctx, id)
	page, next, err := pageOf(req, environmentsOf(environments), err, func(e *runicornapiv1.PythonEnvironment) string {
		return e.GetName() + " " + e.GetPath()
	})
	return &runicornapiv1.ListPythonEnvironmentsResponse{Environments: page, NextPageToken: next}, err
}

// GetRemoteConfig reads the configuration of a Python environment of a connected machine.
func (s *Service) GetRemoteConfig(ctx context.Context, req *runicornapiv1.GetRemoteConfigRequest) (*runicornapiv1.GetRemoteConfigResponse, error) {
	v, id, err := s.resolveConnection(ctx, req)
	if err != nil {
		return nil, err
	}
	config, err := v.Client.RemoteConfig(ctx, id, req.GetCondaEnv())
	if err != nil {
		return nil, err
	}
	return remoteConfigAnswer(id, config), nil
}

// GetRemoteStatus reads the connections and sessions of a Viewer in one call.
func (s *Service) GetRemoteStatus(ctx context.Context, req *runicornapiv1.GetRemoteStatusRequest) (*runicornapiv1.GetRemoteStatusResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	status, err := v.Client.RemoteStatus(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetRemoteStatusResponse{
		Connections: connectionsOf(v, status.Connections), Sessions: s.sessionsOf(v, status.Sessions),
	}, nil
}

// ListSavedConnections lists the saved connections of a Viewer.
func (s *Service) ListSavedConnections(ctx context.Context, req *runicornapiv1.ListSavedConnectionsRequest) (*runicornapiv1.ListSavedConnectionsResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	saved, err := v.Client.SavedConnections(ctx)
	page, next, err := pageOf(req, convertAll(saved, savedOf), err, (*runicornapiv1.SavedConnection).GetSavedConnectionId)
	return &runicornapiv1.ListSavedConnectionsResponse{SavedConnections: page, NextPageToken: next}, err
}

// SaveConnection saves a connection in a Viewer.
func (s *Service) SaveConnection(ctx context.Context, req *runicornapiv1.SaveConnectionRequest) (*runicornapiv1.SaveConnectionResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	login, err := s.config.Policy.login(req.GetTarget())
	if err != nil {
		return nil, err
	}
	saved, err := save(ctx, v, restclient.SaveRequest{
		Login: login, Name: req.GetDisplayName(), AuthMethod: authMethod(login), Remember: req.GetRememberSecrets(),
	})
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.SaveConnectionResponse{SavedConnection: saved}, nil
}

// DeleteSavedConnection deletes a saved connection of a Viewer.
func (s *Service) DeleteSavedConnection(ctx context.Context, req *runicornapiv1.DeleteSavedConnectionRequest) (*runicornapiv1.DeleteSavedConnectionResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	if _, err := findSaved(ctx, v, req.GetSavedConnectionId()); err != nil {
		return nil, err
	}
	if err := v.Client.DeleteSaved(ctx, req.GetSavedConnectionId()); err != nil {
		return nil, prefixField("saved_connection_id", err)
	}
	return &runicornapiv1.DeleteSavedConnectionResponse{SavedConnectionId: req.GetSavedConnectionId()}, nil
}
