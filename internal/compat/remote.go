package compat

import (
	"context"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// login is an SSH server and a login in the names of Viewers. Absent fields are null.
type login struct {
	Host           string `json:"host"`
	Port           *int32 `json:"port"`
	Username       string `json:"username"`
	Password       string `json:"password"`
	PrivateKey     string `json:"private_key"`
	PrivateKeyPath string `json:"private_key_path"`
	Passphrase     string `json:"passphrase"`
	UseAgent       *bool  `json:"use_agent"`
}

func (l *login) target() *runicornapiv1.SshTarget {
	return &runicornapiv1.SshTarget{
		Host: l.Host, Port: l.Port, Username: l.Username, Password: l.Password,
		PrivateKey: l.PrivateKey, PrivateKeyPath: l.PrivateKeyPath, Passphrase: l.Passphrase, UseAgent: l.UseAgent,
	}
}

// connect opens an SSH connection.
func (c *compat) connect(ctx context.Context, in *input) (answer, error) {
	var body login
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	resp, err := c.remote.OpenConnection(ctx, &runicornapiv1.OpenConnectionRequest{Target: body.target()})
	if err != nil {
		return nil, err
	}
	out := connectionOf(resp.GetConnection())
	out["ok"], out["already_connected"] = true, resp.GetAlreadyConnected()
	return document{out}, nil
}

// disconnect closes the connection to a host, which may also be a connection's complete
// id. If several connections lead to the host, the id or the username, as for Viewers, is
// required.
func (c *compat) disconnect(ctx context.Context, in *input) (answer, error) {
	var body struct {
		Host     string `json:"host"`
		Port     *int32 `json:"port"`
		Username string `json:"username"`
	}
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	if body.Username != "" && !strings.Contains(body.Host, "@") {
		port := int32(22)
		if body.Port != nil {
			port = *body.Port
		}
		body.Host = connectionID(body.Username, body.Host, port)
	}
	resp, err := c.remote.CloseConnection(ctx, &runicornapiv1.CloseConnectionRequest{ConnectionId: body.Host})
	if err != nil {
		return nil, err
	}
	return document{map[string]any{
		"ok": true, "message": "Connection removed",
		"connection_id": resp.GetConnectionId(), "stopped_session_ids": texts(resp.GetStoppedSessionIds()),
	}}, nil
}

// listConnections lists connections, which the client calls sessions.
func (c *compat) listConnections(ctx context.Context, _ *input) (answer, error) {
	connections, err := readWindow(ctx, c.remote.ListConnections, &runicornapiv1.ListConnectionsRequest{},
		(*runicornapiv1.ListConnectionsResponse).GetConnections, window{}, nil)
	if err != nil {
		return nil, err
	}
	return listed("sessions", connections, connectionOf), nil
}

// remoteStatus gets connections and remote Viewers.
func (c *compat) remoteStatus(ctx context.Context, _ *input) (answer, error) {
	resp, err := c.remote.GetRemoteStatus(ctx, &runicornapiv1.GetRemoteStatusRequest{})
	if err != nil {
		return nil, err
	}
	connections, sessions := convertAll(resp.GetConnections(), connectionOf), sessionsOf(resp)
	return document{map[string]any{
		"connections": connections, "connection_count": len(connections),
		"viewer_sessions": sessions, "viewer_session_count": len(sessions),
	}}, nil
}

// startViewer starts a remote Viewer over a connection, as the client requests it, or
// with a login, as Viewers accept it.
func (c *compat) startViewer(ctx context.Context, in *input) (answer, error) {
	var body struct {
		login

		ConnectionID string `json:"connection_id"`
		CondaEnv     string `json:"conda_env"`
		RemoteRoot   string `json:"remote_root"`
		LocalPort    *int32 `json:"local_port"`
		RemotePort   *int32 `json:"remote_port"`
	}
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	req := &runicornapiv1.StartViewerRequest{
		ConnectionId: body.ConnectionID, RemoteRoot: body.RemoteRoot, CondaEnv: body.CondaEnv,
		LocalPort: body.LocalPort, RemotePort: body.RemotePort,
	}
	switch {
	case body.Host != "" && body.ConnectionID != "":
		return nil, invalid("host must be empty where connection_id is set")
	case body.Username != "":
		req.Target = body.target()
	case body.Host != "":
		req.ConnectionId = body.Host
	}
	resp, err := c.remote.StartViewer(ctx, req)
	if err != nil {
		return nil, err
	}
	if body.Host != "" {
		body.ConnectionID = body.Host
	}
	out := sessionOf(resp.GetSession(), requestedConnection(resp.GetSession(), body.ConnectionID))
	out["ok"] = true
	return document{out}, nil
}

// stopViewer ends a remote Viewer.
func (c *compat) stopViewer(ctx context.Context, in *input) (answer, error) {
	var body struct {
		SessionID string `json:"session_id"`
	}
	if err := decode(in.body, &body); err != nil {
		return nil, err
	}
	resp, err := c.remote.StopViewer(ctx, &runicornapiv1.StopViewerRequest{SessionId: body.SessionID})
	if err != nil {
		return nil, err
	}
	id := resp.GetSessionId()
	return document{map[string]any{"ok": true, "message": "Session " + id + " stopped", "session_id": id}}, nil
}

// listSessions lists remote Viewers. The connections are read too, because older Viewers
// do not report which one a session uses.
func (c *compat) listSessions(ctx context.Context, _ *input) (answer, error) {
	resp, err := c.remote.GetRemoteStatus(ctx, &runicornapiv1.GetRemoteStatusRequest{})
	if err != nil {
		return nil, err
	}
	return document{map[string]any{"sessions": sessionsOf(resp)}}, nil
}

// listDirectory lists a directory of a connected machine.
func (c *compat) listDirectory(ctx context.Context, in *input) (answer, error) {
	path := ""
	found, err := readWindow(ctx, c.remote.ListDirectory,
		&runicornapiv1.ListDirectoryRequest{ConnectionId: in.query.Get("connection_id"), Path: in.query.Get("path")},
		func(resp *runicornapiv1.ListDirectoryResponse) []*runicornapiv1.DirectoryEntry {
			path = resp.GetPath()
			return resp.GetEntries()
		}, window{}, nil)
	if err != nil {
		return nil, err
	}
	entries := convertAll(found, func(e *runicornapiv1.DirectoryEntry) map[string]any {
		return map[string]any{
			"name": e.GetName(), "is_dir": e.GetIsDirectory(), "size": e.GetSizeBytes(), "mtime": seconds(e.GetModifyTime()),
		}
	})
	// The client reads entries; Viewers send items.
	return document{map[string]any{"path": path, "entries": entries, "items": entries}}, nil
}

// checkPath reports whether a path exists on a connected machine.
func (c *compat) checkPath(ctx context.Context, in *input) (answer, error) {
	resp, err := c.remote.CheckPath(ctx, &runicornapiv1.CheckPathRequest{
		ConnectionId: in.query.Get("connection_id"), Path: in.query.Get("path"),
	})
	if err != nil {
		return nil, err
	}
	return document{map[string]any{"path": resp.GetPath(), "exists": resp.GetExists(), "is_dir": resp.GetIsDirectory()}}, nil
}
