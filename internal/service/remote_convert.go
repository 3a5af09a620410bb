package service

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// home is the folder of the user on a connected machine.
const home = "~"

// connectionOf converts a connection.
func connectionOf(v *fleet.Viewer, c *restclient.Connection) *runicornapiv1.Connection {
	return &runicornapiv1.Connection{
		ConnectionId: validText(c.ID.Value),
		Host:         validText(c.Host.Value),
		Port:         clamp32(c.Port.Value),
		Username:     validText(c.Username.Value),
		Connected:    c.Connected,
		Viewer:       v.Name,
	}
}

func connectionsOf(v *fleet.Viewer, connections []restclient.Connection) []*runicornapiv1.Connection {
	out := make([]*runicornapiv1.Connection, 0, len(connections))
	for i := range connections {
		out = append(out, connectionOf(v, &connections[i]))
	}
	return out
}

// sessionStates are the Viewers' words for how a session stands.
var sessionStates = map[string]runicornapiv1.ViewerSessionState{
	"connecting":   runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_CONNECTING,
	"running":      runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_RUNNING,
	"reconnecting": runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_RECONNECTING,
	"degraded":     runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_DEGRADED,
	"disconnected": runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_DISCONNECTED,
	"stopped":      runicornapiv1.ViewerSessionState_VIEWER_SESSION_STATE_STOPPED,
}

// sessionOf converts a session, and says by which name its remote Viewer can
// be called, or why it cannot.
func (d *Config) sessionOf(parent *fleet.Viewer, s *restclient.Session) *runicornapiv1.ViewerSession {
	out := &runicornapiv1.ViewerSession{
		SessionId:       validText(s.ID),
		ParentViewer:    parent.Name,
		Host:            validText(s.Host.Value),
		SshPort:         clamp32(s.SSHPort.Value),
		Username:        validText(s.Username.Value),
		LocalPort:       clamp32(s.LocalPort.Value),
		RemotePort:      clamp32(s.RemotePort.Value),
		RemoteRoot:      validText(s.RemoteRoot.Value),
		RemoteProcessId: int64Of(s.RemotePID),
		State:           sessionStates[s.Status.Value],
		ViewerStatus:    validText(s.Status.Value),
		Active:          s.Active,
		StartTime:       timeOf(s.StartedTime.Time),
		Url:             validText(s.URL.Value),
	}
	if s.Uptime.Known {
		out.Uptime = durationpb.New(time.Duration(s.Uptime.Value * float64(time.Second)))
	}
	out.Viewer, out.UnreachableReason = d.Fleet.Reach(parent, *s)
	return out
}

func (d *Config) sessionsOf(parent *fleet.Viewer, sessions []restclient.Session) []*runicornapiv1.ViewerSession {
	out := make([]*runicornapiv1.ViewerSession, 0, len(sessions))
	for i := range sessions {
		out = append(out, d.sessionOf(parent, &sessions[i]))
	}
	return out
}

// directoryAnswer converts a folder.
func directoryAnswer(d *restclient.Directory) *runicornapiv1.ListDirectoryResponse {
	out := &runicornapiv1.ListDirectoryResponse{Path: validText(d.Path.Value)}
	for _, e := range d.Entries {
		out.Entries = append(out.Entries, &runicornapiv1.DirectoryEntry{
			Name: validText(e.Name.Value), IsDirectory: e.IsDir, SizeBytes: e.Size.Value, ModifyTime: timeOf(e.ModifiedTime.Time),
		})
	}
	return out
}

// environmentTypes are the Viewer's words for what provides a Python.
var environmentTypes = map[string]runicornapiv1.PythonEnvironmentType{
	"conda":  runicornapiv1.PythonEnvironmentType_PYTHON_ENVIRONMENT_TYPE_CONDA,
	"system": runicornapiv1.PythonEnvironmentType_PYTHON_ENVIRONMENT_TYPE_SYSTEM,
}

// environmentsOf converts Pythons.
func environmentsOf(environments []restclient.PythonEnvironment) (out []*runicornapiv1.PythonEnvironment) {
	for _, e := range environments {
		out = append(out, &runicornapiv1.PythonEnvironment{
			Name: validText(e.Name.Value), Type: environmentTypes[e.Type.Value], PythonVersion: validText(e.Version.Value),
			Path: validText(e.Path.Value), IsDefault: e.IsDefault,
		})
	}
	return out
}

// remoteConfigAnswer converts what a Python has.
func remoteConfigAnswer(connectionID string, c *restclient.RemoteConfig) *runicornapiv1.GetRemoteConfigResponse {
	return &runicornapiv1.GetRemoteConfigResponse{
		ConnectionId:        validText(connectionID),
		CondaEnv:            validText(c.CondaEnv.Value),
		PythonVersion:       validText(c.PythonVersion.Value),
		RunicornVersion:     validText(c.RunicornVersion.Value),
		DefaultStorageRoot:  validText(c.DefaultStorageRoot.Value),
		StorageRootExists:   c.StorageRootExists,
		SuggestedRemotePort: int32Of(c.SuggestedRemotePort),
		HomeDirectory:       validText(c.HomeDirectory.Value),
	}
}

// hostKeyOf converts a key of an SSH server.
func hostKeyOf(k *restclient.HostKey) *runicornapiv1.HostKey {
	return &runicornapiv1.HostKey{
		Host: validText(k.Host), Port: clamp32(int64(k.Port)), KeyType: validText(k.KeyType),
		PublicKey: validText(k.PublicKey), FingerprintSha256: validText(k.Fingerprint),
		KnownHostsHost: validText(k.KnownHostsHost), ExpectedFingerprintSha256: validText(k.ExpectedFingerprint),
	}
}

// hostKeyFromProto converts a key to be accepted.
func hostKeyFromProto(k *runicornapiv1.HostKey) restclient.HostKey {
	return restclient.HostKey{
		Host: k.GetHost(), Port: int(k.GetPort()), KeyType: k.GetKeyType(),
		PublicKey: k.GetPublicKey(), Fingerprint: k.GetFingerprintSha256(),
	}
}

// authMethods are the Viewer's words for how a saved connection logs in.
var authMethods = map[string]runicornapiv1.AuthMethod{
	"password": runicornapiv1.AuthMethod_AUTH_METHOD_PASSWORD,
	"key":      runicornapiv1.AuthMethod_AUTH_METHOD_KEY,
	"agent":    runicornapiv1.AuthMethod_AUTH_METHOD_AGENT,
}

// savedOf converts a remembered connection.
func savedOf(s restclient.SavedConnection) *runicornapiv1.SavedConnection {
	return &runicornapiv1.SavedConnection{
		SavedConnectionId:  validText(s.ID.Value),
		DisplayName:        validText(s.Name.Value),
		Host:               validText(s.Host.Value),
		Port:               clamp32(s.Port.Value),
		Username:           validText(s.Username.Value),
		AuthMethod:         authMethods[s.AuthMethod.Value],
		HasSavedPassword:   s.HasPassword,
		HasSavedPrivateKey: s.HasPrivateKey,
		HasSavedPassphrase: s.HasPassphrase,
	}
}
