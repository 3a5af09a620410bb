package remote

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

const (
	// tunnelTimeout is how long a new remote Viewer may take to answer through its
	// tunnel. The Viewer that started it has already waited for it at the remote end.
	tunnelTimeout = 10 * time.Second
	// tunnelPollInterval is the interval between two attempts.
	tunnelPollInterval = 200 * time.Millisecond
)

// start starts a remote Viewer, and checks that it is the requested one.
func (s *Service) start(ctx context.Context, v *fleet.Viewer, req *runicornapiv1.StartViewerRequest) (*runicornapiv1.ViewerSession, error) {
	login, err := s.startLogin(req)
	if err != nil {
		return nil, err
	}
	unlock, err := s.locks.lock(ctx, v.Name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	start := restclient.StartRequest{
		Login: login, RemoteRoot: req.GetRemoteRoot(), CondaEnv: req.GetCondaEnv(),
		LocalPort: int(req.GetLocalPort()), RemotePort: int(req.GetRemotePort()),
	}
	if err := s.prepare(ctx, v, req.GetConnectionId(), &start); err != nil {
		return nil, err
	}
	session, err := v.Client.StartViewer(ctx, start)
	if err != nil {
		return nil, prefixStartField(err)
	}
	s.config.Fleet.Add(v, *session)
	return s.verifyStarted(ctx, v, session, start)
}

// startLogin returns the login of a request, if it has one.
func (s *Service) startLogin(req *runicornapiv1.StartViewerRequest) (restclient.Login, error) {
	if req.GetTarget() == nil {
		return restclient.Login{}, nil
	}
	return s.config.Policy.login(req.GetTarget())
}

// prefixStartField names the field of a login as in the request.
func prefixStartField(err error) error {
	refused, ok := errors.AsType[*restclient.IDError](err)
	if !ok {
		return err
	}
	switch refused.Field {
	case "remote_root", "conda_env", "local_port", "remote_port":
		return err
	}
	return prefixField("target", err)
}

// prepare resolves the connection of a request, and refuses what the Viewer would do
// wrong without an error, or to the harm of other sessions.
func (s *Service) prepare(ctx context.Context, v *fleet.Viewer, connectionID string, start *restclient.StartRequest) error {
	if connectionID != "" {
		c, err := findConnection(ctx, v, connectionID)
		switch {
		case err != nil:
			return err
		case !c.Connected:
			return conflict("connection %s is broken: connect again", c.ID.Value)
		}
		if start.Endpoint, err = restclient.ParseConnectionID(c.ID.Value); err != nil {
			return connectionIDError(err)
		}
		if err := s.config.Policy.allows(start.Host); err != nil {
			return err
		}
	}
	if err := s.checkPorts(ctx, v, start); err != nil {
		return err
	}
	if start.CondaEnv == "" {
		return nil
	}
	if connectionID == "" {
		// The list of environments needs a connection, which starting would open as well.
		if _, _, err := connectLocked(ctx, v, start.Login); err != nil {
			return prefixField("target", err)
		}
	}
	return checkEnvironment(ctx, v, start.ID(), start.CondaEnv)
}

// checkPorts refuses ports that are known to be taken. Otherwise the Viewers' clean-up
// after the failure would end the session that has the port, and if the tunnel cannot
// listen, the program that does would be taken for the remote Viewer.
func (s *Service) checkPorts(ctx context.Context, v *fleet.Viewer, start *restclient.StartRequest) error {
	if start.LocalPort == 0 && start.RemotePort == 0 {
		return nil
	}
	if start.LocalPort != 0 && s.config.Fleet.PortTaken(ctx, v, start.LocalPort) {
		return portTaken(v, "local_port is already in use")
	}
	sessions, err := v.Client.Sessions(ctx)
	if err != nil {
		return err
	}
	exact := reportsHosts(ctx, v)
	for _, other := range sessions {
		local := start.LocalPort != 0 && other.LocalPort.Value == int64(start.LocalPort)
		remote := start.RemotePort != 0 && other.RemotePort.Value == int64(start.RemotePort) && mayUseEndpoint(other, start.Endpoint, exact)
		if local || remote {
			return portTaken(v, "session "+other.ID+" has it")
		}
	}
	return nil
}

func portTaken(v *fleet.Viewer, detail string) error {
	return &restclient.Error{Kind: restclient.KindPortTaken, Viewer: v.Name, Detail: detail}
}

// checkEnvironment refuses an environment that does not exist: the Viewers would use the
// Python on the PATH instead, without an error.
func checkEnvironment(ctx context.Context, v *fleet.Viewer, connectionID, name string) error {
	environments, err := v.Client.PythonEnvironments(ctx, connectionID)
	if err != nil {
		return err
	}
	names := make([]string, 0, len(environments))
	for _, e := range environments {
		if e.Name.Value == name {
			return nil
		}
		names = append(names, e.Name.Value)
	}
	return apierr.Invalid("conda_env", "is not on the remote machine, which has %s", strings.Join(names, ", "))
}

// verifyStarted calls the new Viewer through its tunnel, because nothing else checks the
// tunnel. The Viewer that started it reports "running" even if the tunnel leads nowhere,
// or to another Viewer that had the port before. Links in the requested root are resolved
// in the root that the new Viewer reports.
func (s *Service) verifyStarted(ctx context.Context, v *fleet.Viewer, session *restclient.Session, start restclient.StartRequest) (*runicornapiv1.ViewerSession, error) {
	out := s.sessionOf(v, session)
	if out.GetViewer() == "" {
		return out, nil
	}
	remote, getErr := s.config.Fleet.Get(ctx, out.GetViewer())
	if getErr != nil {
		return out, nil //nolint:nilerr // it was started, and has already ended, as its session shows
	}
	health, err := waitForTunnel(ctx, remote)
	switch {
	case err != nil:
		out.UnreachableReason = fmt.Sprintf("it was started, but does not answer at %s on this machine", remote.Client.BaseURL())
		out.Viewer = ""
	case start.RemotePort != 0 && differentRoot(health.Storage.Value, start.RemoteRoot):
		return nil, errors.Join(portTaken(v, "the Viewer that answers at remote_port serves another root, or the one that remote_root is a link to; leave remote_port out"),
			s.stopLocked(ctx, v, session.ID))
	case health.Storage.Known:
		out.RemoteRoot = convert.Text(health.Storage.Value)
	}
	return out, nil
}

// waitForTunnel waits until a Viewer answers through its tunnel: a tunnel of OpenSSH is
// reported as running before it listens.
func waitForTunnel(ctx context.Context, remote *fleet.Viewer) (*restclient.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, tunnelTimeout)
	defer cancel()
	for {
		health, err := remote.Client.Health(ctx)
		if e, ok := errors.AsType[*restclient.Error](err); !ok || e.Kind != restclient.KindUnreachable {
			return health, err
		}
		select {
		case <-time.After(tunnelPollInterval):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// differentRoot reports whether a Viewer serves another root than requested, if both
// paths are absolute.
func differentRoot(serves, requested string) bool {
	return path.IsAbs(serves) && path.IsAbs(requested) && path.Clean(serves) != path.Clean(requested)
}
