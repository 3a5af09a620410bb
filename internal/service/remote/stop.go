package remote

import (
	"context"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// stop stops a remote Viewer.
func (s *Service) stop(ctx context.Context, v *fleet.Viewer, sessionID string) error {
	unlock, err := s.locks.lock(ctx, v.Name)
	if err != nil {
		return err
	}
	defer unlock()
	return s.stopLocked(ctx, v, sessionID)
}

// stopLocked is stop for a caller that holds the Viewer's mutex. A session that no longer
// exists is removed from the fleet, and is an error.
func (s *Service) stopLocked(ctx context.Context, v *fleet.Viewer, sessionID string) error {
	err := v.Client.StopViewer(ctx, sessionID)
	if err == nil || restclient.IsKind(err, restclient.KindNotFound) {
		s.config.Fleet.Remove(v, sessionID)
	}
	return err
}

// disconnect stops the remote Viewers that use a connection, then closes it. After a
// failure the connection stays open, so that the remaining ones can still be stopped.
func (s *Service) disconnect(ctx context.Context, v *fleet.Viewer, id string) (connectionID string, stopped []string, err error) {
	unlock, err := s.locks.lock(ctx, v.Name)
	if err != nil {
		return "", nil, err
	}
	defer unlock()
	status, err := v.Client.RemoteStatus(ctx)
	if err != nil {
		return "", nil, err
	}
	c, err := findConnection(ctx, v, id)
	if err != nil {
		return "", nil, err
	}
	endpoint, err := restclient.ParseConnectionID(c.ID.Value)
	if err != nil {
		return "", nil, connectionIDError(err)
	}
	sessions, err := sessionsOn(endpoint, status, reportsHosts(ctx, v))
	if err != nil {
		return "", nil, err
	}
	for _, sessionID := range sessions {
		if err := s.stopLocked(ctx, v, sessionID); err != nil && !restclient.IsKind(err, restclient.KindNotFound) {
			return "", nil, err
		}
		stopped = append(stopped, sessionID)
	}
	err = v.Client.Disconnect(ctx, endpoint)
	if len(stopped) > 0 && restclient.IsKind(err, restclient.KindNotFound) {
		err = nil // 0.7.2 closes a connection with its last session
	}
	return c.ID.Value, stopped, err
}

// sessionsOn returns the sessions that use a connection. If a Viewer does not report
// which of two connections a session uses, neither can be closed: the wrong remote Viewer
// would be stopped, or one would be left running.
func sessionsOn(e restclient.Endpoint, status *restclient.RemoteStatus, exact bool) ([]string, error) {
	var using []string
	for _, session := range status.Sessions {
		if mayUseEndpoint(session, e, exact) {
			using = append(using, session.ID)
		}
	}
	matching := 0
	for _, c := range status.Connections {
		if c.Port.Value == int64(e.Port) && c.Username.Value == e.Username {
			matching++
		}
	}
	if len(using) > 0 && matching > 1 && !exact {
		return nil, conflict("the viewer does not report which connection sessions %s use: stop those that use this one first",
			strings.Join(using, ", "))
	}
	return using, nil
}

// reportsHosts reports whether a Viewer reports the host of each session: 0.5.3 and 0.6.0
// report 127.0.0.1 for all.
func reportsHosts(ctx context.Context, v *fleet.Viewer) bool {
	caps, err := v.Client.Capabilities(ctx)
	return err == nil && caps.Generation != restclient.Generation05 && caps.Generation != restclient.Generation06
}

// mayUseEndpoint reports whether a session may run over a connection to an endpoint.
func mayUseEndpoint(session restclient.Session, e restclient.Endpoint, exact bool) bool {
	sameLogin := session.SSHPort.Value == int64(e.Port) && session.Username.Value == e.Username
	return sameLogin && (!exact || strings.EqualFold(session.Host.Value, e.Host))
}
