package remote

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// home is the home directory of the user on a connected machine.
const home = "~"

// connectionOf converts a connection.
func connectionOf(v *fleet.Viewer, c *restclient.Connection) *runicornapiv1.Connection {
	return &runicornapiv1.Connection{
		ConnectionId: convert.Text(c.ID.Value),
		Host:         convert.Text(c.Host.Value),
		Port:         convert.Clamp32(c.Port.Value),
		Username:     convert.Text(c.Username.Value),
		Connected:    c.Connected,
		Viewer:       v.Name,
	}
}

func connectionsOf(v *fleet.Viewer, connections []restclient.Connection) []*runicornapiv1.Connection {
	return convertAll(connections, func(c restclient.Connection) *runicornapiv1.Connection { return connectionOf(v, &c) })
}

// sessionStates maps the Viewers' words for the state of a session.
var sessionStates = map[string]runicornapiv1.ViewerSessionState{
	"connecting":   runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_CONNECTING,
	"running":      runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_RUNNING,
	"reconnecting": runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_RECONNECTING,
	"degraded":     runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_DEGRADED,
	"disconnected": runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_DISCONNECTED,
	"stopped":      runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_STOPPED,
}

// sessionOf converts a session, with the name by which its remote Viewer can be called,
// or the reason why it cannot.
func (s *Service) sessionOf(parent *fleet.Viewer, session *restclient.Session) *runicornapiv1.ViewerSession {
	out := &runicornapiv1.ViewerSession{
		SessionId:       convert.Text(session.ID),
		ParentViewer:    parent.Name,
		Host:            convert.Text(session.Host.Value),
		SshPort:         convert.Clamp32(session.SSHPort.Value),
		Username:        convert.Text(session.Username.Value),
		LocalPort:       convert.Clamp32(session.LocalPort.Value),
		RemotePort:      convert.Clamp32(session.RemotePort.Value),
		RemoteRoot:      convert.Text(session.RemoteRoot.Value),
		RemoteProcessId: convert.Int64(session.RemotePID),
		State:           sessionStates[session.Status.Value],
		ViewerStatus:    convert.Text(session.Status.Value),
		Active:          session.Active,
		StartTime:       convert.Time(session.StartedTime.Time),
		Url:             convert.Text(session.URL.Value),
	}
	if session.Uptime.Known {
		out.Uptime = durationpb.New(time.Duration(session.Uptime.Value * float64(time.Second)))
	}
	out.Viewer, out.UnreachableReason = s.config.Fleet.Reach(parent, *session)
	return out
}

func (s *Service) sessionsOf(parent *fleet.Viewer, sessions []restclient.Session) []*runicornapiv1.ViewerSession {
	return convertAll(sessions, func(session restclient.Session) *runicornapiv1.ViewerSession { return s.sessionOf(parent, &session) })
}

// convertAll converts a list.
func convertAll[T, M any](items []T, convert func(T) M) []M {
	out := make([]M, 0, len(items))
	for _, item := range items {
		out = append(out, convert(item))
	}
	return out
}

// entriesOf converts the entries of a directory.
func entriesOf(d *restclient.Directory) []*runicornapiv1.DirectoryEntry {
	return convertAll(d.Entries, func(e restclient.DirectoryEntry) *runicornapiv1.DirectoryEntry {
		return &runicornapiv1.DirectoryEntry{
			Name: convert.Text(e.Name.Value), IsDirectory: e.IsDir, SizeBytes: e.Size.Value, ModifyTime: convert.Time(e.ModifiedTime.Time),
		}
	})
}

// environmentTypes maps the Viewer's words for the types of Python environments.
var environmentTypes = map[string]runicornapiv1.PythonEnvironmentType{
	"conda":  runicornapiv1.PythonEnvironmentType_PYTHON_ENVIRONMENT_TYPE_CONDA,
	"system": runicornapiv1.PythonEnvironmentType_PYTHON_ENVIRONMENT_TYPE_SYSTEM,
}

// environmentsOf converts Python environments.
func environmentsOf(environments []restclient.PythonEnvironment) []*runicornapiv1.PythonEnvironment {
	return convertAll(environments, func(e restclient.PythonEnvironment) *runicornapiv1.PythonEnvironment {
		return &runicornapiv1.PythonEnvironment{
			Name: convert.Text(e.Name.Value), Type: environmentTypes[e.Type.Value], PythonVersion: convert.Text(e.Version.Value),
			Path: convert.Text(e.Path.Value), IsDefault: e.IsDefault,
		}
	})
}

// remoteConfigAnswer converts the configuration of a Python environment.
func remoteConfigAnswer(connectionID string, c *restclient.RemoteConfig) *runicornapiv1.GetRemoteConfigResponse {
	return &runicornapiv1.GetRemoteConfigResponse{
		ConnectionId:        convert.Text(connectionID),
		CondaEnv:            convert.Text(c.CondaEnv.Value),
		PythonVersion:       convert.Text(c.PythonVersion.Value),
		RunicornVersion:     convert.Text(c.RunicornVersion.Value),
		DefaultStorageRoot:  convert.Text(c.DefaultStorageRoot.Value),
		StorageRootExists:   c.StorageRootExists,
		SuggestedRemotePort: convert.Int32(c.SuggestedRemotePort),
		HomeDirectory:       convert.Text(c.HomeDirectory.Value),
	}
}

// hostKeyFromProto converts a host key that is to be accepted.
func hostKeyFromProto(k *runicornapiv1.HostKey) restclient.HostKey {
	return restclient.HostKey{
		Host: k.GetHost(), Port: int(k.GetPort()), KeyType: k.GetKeyType(),
		PublicKey: k.GetPublicKey(), Fingerprint: k.GetFingerprintSha256(),
	}
}

// authMethods maps the Viewer's words for the login methods of saved connections.
var authMethods = map[string]runicornapiv1.AuthMethod{
	"password": runicornapiv1.AuthMethod_AUTH_METHOD_PASSWORD,
	"key":      runicornapiv1.AuthMethod_AUTH_METHOD_KEY,
	"agent":    runicornapiv1.AuthMethod_AUTH_METHOD_AGENT,
}

// savedOf converts a saved connection.
func savedOf(s restclient.SavedConnection) *runicornapiv1.SavedConnection {
	return &runicornapiv1.SavedConnection{
		SavedConnectionId:  convert.Text(s.ID.Value),
		DisplayName:        convert.Text(s.Name.Value),
		Host:               convert.Text(s.Host.Value),
		Port:               convert.Clamp32(s.Port.Value),
		Username:           convert.Text(s.Username.Value),
		AuthMethod:         authMethods[s.AuthMethod.Value],
		HasSavedPassword:   s.HasPassword,
		HasSavedPrivateKey: s.HasPrivateKey,
		HasSavedPassphrase: s.HasPassphrase,
	}
}
