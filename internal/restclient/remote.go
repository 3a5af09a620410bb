package restclient

import (
	"cmp"
	"context"
	"errors"

	"github.com/runicorn-grpc/runicorn-grpc/internal/viewerjson"
)

// Connection is an SSH connection held by the Viewer.
type Connection struct {
	// ID is user@host:port.
	ID       Text `json:"key"`
	Host     Text `json:"host"`
	Port     Int  `json:"port"`
	Username Text `json:"username"`
	// Connected is the Viewer's knowledge; 0.7.2 notices a broken connection up to 5 s
	// late. A broken one stays in the lists.
	Connected bool `json:"connected"`
}

var errNoID = errors.New("the answer has no id")

// Connect makes the Viewer open a connection and keep it. An unknown or changed host key is
// KindHostKey; 0.5.3 accepts any. While a connection to the same endpoint is open, the
// Viewer answers at once and ignores the credentials, so success does not mean that they
// are right. One call is one login attempt.
//
//viewer:operation POST /api/remote/connect 0.5 0.6 0.7
func (c *Client) Connect(ctx context.Context, login Login) (*Connection, error) {
	if err := login.check(); err != nil {
		return nil, err
	}
	q := sshCall{call: call{cap: capConnect, body: login.body(), secrets: login.secrets()}, connection: login.ID()}
	answer, err := doSSH[struct {
		Connection
		OK           bool `json:"ok"`
		ConnectionID Text `json:"connection_id"`
		Message      Text `json:"message"`
	}](ctx, c, q)
	switch {
	case err != nil:
		return nil, err
	case !answer.OK || !answer.Connected:
		return nil, c.rejected(q, KindSSHUnreachable, answer.Message.Value)
	case answer.ConnectionID.Value == "":
		return nil, c.malformed(q, errNoID)
	}
	answer.ID = answer.ConnectionID
	return &answer.Connection, nil
}

// Disconnect makes the Viewer close a connection; one that it does not hold is
// KindNotFound. Remote Viewers over the connection keep running and can no longer be
// stopped, so stop them first.
//
//viewer:operation POST /api/remote/disconnect 0.5 0.6 0.7
func (c *Client) Disconnect(ctx context.Context, e Endpoint) error {
	if err := e.check(); err != nil {
		return err
	}
	q := sshCall{call: call{cap: capDisconnect, body: e}, connection: e.ID()}
	return c.acknowledgeSSH(ctx, q, KindNotFound)
}

// Connections lists the connections that the Viewer holds, including broken ones.
//
//viewer:operation GET /api/remote/sessions 0.5 0.6 0.7
func (c *Client) Connections(ctx context.Context) ([]Connection, error) {
	answer, err := readSSH[struct {
		Connections []Connection `json:"sessions"`
	}](ctx, c, sshCall{call: call{cap: capConnections}})
	if err != nil {
		return nil, err
	}
	return answer.Connections, nil
}

// RemoteStatus is everything that the Viewer holds over SSH.
type RemoteStatus struct {
	TextQuality
	Connections []Connection `json:"connections"`
	Sessions    []Session    `json:"viewer_sessions"`
}

// RemoteStatus lists connections and remote Viewers in one call.
//
//viewer:operation GET /api/remote/status 0.5 0.6 0.7
func (c *Client) RemoteStatus(ctx context.Context) (*RemoteStatus, error) {
	return readSSH[RemoteStatus](ctx, c, sshCall{call: call{cap: capRemoteStatus}})
}

// Session is a remote Viewer started by the Viewer, and the tunnel to it.
type Session struct {
	ID string `json:"sessionId"`
	// Host is 127.0.0.1 in 0.5.3 and 0.6.0, whatever the SSH server.
	Host     Text `json:"host"`
	SSHPort  Int  `json:"sshPort"`
	Username Text `json:"username"`
	// LocalPort is the tunnel's port on 127.0.0.1 of the Viewer's machine, IPv4 only.
	LocalPort  Int  `json:"localPort"`
	RemotePort Int  `json:"remotePort"`
	RemoteRoot Text `json:"remoteRoot"`
	// RemotePID changes when 0.7.2 restarts a remote Viewer that has died.
	RemotePID Int `json:"remotePid"`
	// Status is connecting, running or stopped; from 0.7 on also reconnecting, degraded or
	// disconnected. It does not tell whether the remote Viewer answers.
	Status      Text              `json:"status"`
	StartedTime viewerjson.Millis `json:"startedAt"`
	Uptime      Float             `json:"uptimeSeconds"`
	Active      bool              `json:"isActive"`
	URL         Text              `json:"url"`
}

// StartRequest describes a remote Viewer to be started.
type StartRequest struct {
	// Login may lack credentials while a connection is open.
	Login
	// RemoteRoot is the storage root on the remote machine.
	RemoteRoot string
	// LocalPort is the tunnel's port, 0 for a free one.
	LocalPort int
	// RemotePort is the remote Viewer's port, 0 for a free one. If another Viewer already
	// uses the port, all generations tunnel to that one and report success: leave it 0.
	RemotePort int
	// CondaEnv is the environment to run it in. If it does not exist, the Viewer silently
	// uses the Python on the PATH.
	CondaEnv string
}

func (s StartRequest) check() error {
	return cmp.Or(
		s.Login.check(),
		checkShellText("remote_root", s.RemoteRoot),
		checkOptional("conda_env", s.CondaEnv, checkShellText),
		checkOptional("local_port", s.LocalPort, checkPort),
		checkOptional("remote_port", s.RemotePort, checkPort),
	)
}

// StartViewer makes the Viewer start a Viewer on a remote machine and a tunnel to it, in 3
// to 7 s; if the root cannot be created, 0.7.2 takes a minute.
//
//viewer:operation POST /api/remote/viewer/start 0.5 0.6 0.7
func (c *Client) StartViewer(ctx context.Context, s StartRequest) (*Session, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	body := struct {
		loginBody
		RemoteRoot string `json:"remote_root"`
		LocalPort  int    `json:"local_port,omitempty"`
		RemotePort int    `json:"remote_port,omitempty"`
		CondaEnv   string `json:"conda_env,omitempty"`
	}{s.body(), s.RemoteRoot, s.LocalPort, s.RemotePort, s.CondaEnv}
	q := sshCall{
		call:       call{cap: capStartViewer, body: body, secrets: s.secrets()},
		connection: s.ID(), environment: s.CondaEnv,
	}
	answer, err := doSSH[struct {
		acknowledgement
		Session Session `json:"session"`
	}](ctx, c, q)
	switch {
	case err != nil:
		return nil, err
	case !answer.OK:
		return nil, c.rejected(q, KindSSHPrecondition, answer.Message.Value)
	case answer.Session.ID == "":
		return nil, c.malformed(q, errNoID)
	}
	return &answer.Session, nil
}

// StopViewer stops a remote Viewer and its tunnel. 0.7.2 also closes the connection with
// the last session over it.
//
//viewer:operation POST /api/remote/viewer/stop 0.5 0.6 0.7
func (c *Client) StopViewer(ctx context.Context, sessionID string) error {
	if err := CheckID("session_id", sessionID); err != nil {
		return err
	}
	q := sshCall{call: call{cap: capStopViewer, body: map[string]string{"session_id": sessionID}}, session: sessionID}
	return c.acknowledgeSSH(ctx, q, KindServer)
}

// Sessions lists the remote Viewers. 0.5.3 and 0.6.0 drop dead ones from the list.
//
//viewer:operation GET /api/remote/viewer/sessions 0.5 0.6 0.7
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	answer, err := readSSH[struct {
		Sessions []Session `json:"sessions"`
	}](ctx, c, sshCall{call: call{cap: CapSessions}})
	if err != nil {
		return nil, err
	}
	return answer.Sessions, nil
}

// Session reads one remote Viewer.
//
//viewer:operation GET /api/remote/viewer/status/{session_id} 0.5 0.6 0.7
func (c *Client) Session(ctx context.Context, sessionID string) (*Session, error) {
	return readSSH[Session](ctx, c, sshCall{call: call{cap: capSession, ids: []string{sessionID}}, session: sessionID})
}

// malformed returns the error for a 200 that lacks its result.
func (c *Client) malformed(q sshCall, err error) error {
	e := c.refused(q.call, KindMalformed, "")
	e.Err = err
	return e
}
