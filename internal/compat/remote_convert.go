package compat

import (
	"fmt"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// connectionOf converts a connection; key is the Viewer's name for its id.
func connectionOf(c *runicornapiv1.Connection) map[string]any {
	return map[string]any{
		"connection_id": c.GetConnectionId(), "key": c.GetConnectionId(),
		"host": c.GetHost(), "port": c.GetPort(), "username": c.GetUsername(), "connected": c.GetConnected(),
	}
}

// sessionOf converts a remote Viewer's session to the names of the client's
// model. Its created_at is in seconds, where Viewers say milliseconds.
func sessionOf(s *runicornapiv1.ViewerSession, connectionID string) map[string]any {
	_, host, _ := strings.Cut(connectionID, "@")
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	var uptime *float64
	if s.GetUptime() != nil {
		uptime = new(s.GetUptime().AsDuration().Seconds())
	}
	return map[string]any{
		"session_id": s.GetSessionId(), "connection_id": connectionID,
		"remote_host": host, "remote_port": s.GetRemotePort(), "remote_root": s.GetRemoteRoot(),
		"local_port": s.GetLocalPort(), "local_url": fmt.Sprintf("http://localhost:%d", s.GetLocalPort()),
		"ssh_port": s.GetSshPort(), "username": s.GetUsername(), "remote_pid": s.RemoteProcessId,
		"status": sessionStatus(s), "is_active": s.GetActive(),
		"created_at": seconds(s.GetStartTime()), "uptime_seconds": uptime,
		"viewer": s.GetViewer(), "unreachable_reason": s.GetUnreachableReason(),
	}
}

// sessionsOf converts the sessions of a Viewer.
func sessionsOf(status *runicornapiv1.GetRemoteStatusResponse) []map[string]any {
	return convertAll(status.GetSessions(), func(s *runicornapiv1.ViewerSession) map[string]any {
		return sessionOf(s, sessionConnection(s, status.GetConnections()))
	})
}

// sessionStatus returns the Viewer's word for the state of a session.
func sessionStatus(s *runicornapiv1.ViewerSession) string {
	if s.GetViewerStatus() != "" {
		return s.GetViewerStatus()
	}
	return enumName(s.GetState().String(), "VIEWER_SESSION_STATE_")
}

// sessionConnection finds the connection of a session. Viewers 0.5.3 and 0.6.0 report the
// host 127.0.0.1 for every session, so there the only connection with the same user and
// port is used.
func sessionConnection(s *runicornapiv1.ViewerSession, connections []*runicornapiv1.Connection) string {
	id := idOf(s, s.GetHost())
	var candidates []string
	for _, c := range connections {
		if c.GetUsername() != s.GetUsername() || c.GetPort() != s.GetSshPort() {
			continue
		}
		if c.GetConnectionId() == id {
			return id
		}
		candidates = append(candidates, c.GetConnectionId())
	}
	if len(candidates) == 1 {
		return candidates[0]
	}
	return id
}

// requestedConnection returns the id of the connection for which a session was requested
// by id or by bare host.
func requestedConnection(s *runicornapiv1.ViewerSession, asked string) string {
	if strings.Contains(asked, "@") {
		return asked
	}
	return idOf(s, asked)
}

// idOf returns the id of a session's connection.
func idOf(s *runicornapiv1.ViewerSession, host string) string {
	return connectionID(s.GetUsername(), host, s.GetSshPort())
}

func connectionID(username, host string, port int32) string {
	return fmt.Sprintf("%s@%s:%d", username, host, port)
}
