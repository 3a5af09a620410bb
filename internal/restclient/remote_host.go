package restclient

import (
	"context"
	"net/url"
	"strings"
)

// quotes end a quoted word in a shell.
const quotes = "'\"`"

// checkShellText refuses text that could end the quotes in which a Viewer puts it into a
// remote shell command: 0.5.3 and 0.6.0 execute what follows a quote in the path of
// fs/exists.
func checkShellText(field, text string) error {
	if err := checkText(field, text); err != nil {
		return err
	}
	if strings.ContainsAny(text, quotes) {
		return &IDError{Field: field, Reason: "must not hold quotes"}
	}
	return nil
}

// overConnection returns a call about an open connection.
func overConnection(name Capability, connectionID string) (sshCall, error) {
	query := url.Values{"connection_id": {connectionID}}
	_, err := ParseConnectionID(connectionID)
	return sshCall{call: call{cap: name, query: query}, connection: connectionID}, err
}

// overPath returns a call about a path on a connected machine.
func overPath(name Capability, connectionID, path string) (sshCall, error) {
	q, err := overConnection(name, connectionID)
	if err != nil {
		return q, err
	}
	q.path = path
	q.query.Set("path", path)
	return q, checkShellText("path", path)
}

// Directory is a folder of a connected machine.
type Directory struct {
	TextQuality
	Path Text `json:"path"`
	// Entries are sorted: folders first, then by name, including hidden ones.
	Entries []DirectoryEntry `json:"items"`
}

// DirectoryEntry is one entry of a folder.
type DirectoryEntry struct {
	Name Text `json:"name"`
	// IsDir is false for a link to a folder.
	IsDir bool `json:"is_dir"`
	// Size is 0 for a folder.
	Size         Int  `json:"size"`
	ModifiedTime Time `json:"mtime"`
}

// ListDirectory lists a folder of a connected machine; "~" is the user's home. A missing
// path and a plain file are KindNotFound, an unreadable one is KindForbidden. 0.7.2 answers
// its web page instead, with 200.
//
//viewer:operation GET /api/remote/fs/list 0.5 0.6
func (c *Client) ListDirectory(ctx context.Context, connectionID, path string) (*Directory, error) {
	q, err := overPath(capListDirectory, connectionID, path)
	if err != nil {
		return nil, err
	}
	return readSSH[Directory](ctx, c, q)
}

// PathInfo describes a path of a connected machine.
type PathInfo struct {
	TextQuality
	Path Text `json:"path"`
	// Exists is also false if the user cannot read the path.
	Exists bool `json:"exists"`
	IsDir  bool `json:"is_dir"`
}

// CheckPath reports whether a path of a connected machine exists and is a folder. "~" is
// not expanded.
//
//viewer:operation GET /api/remote/fs/exists 0.5 0.6
func (c *Client) CheckPath(ctx context.Context, connectionID, path string) (*PathInfo, error) {
	q, err := overPath(capCheckPath, connectionID, path)
	if err != nil {
		return nil, err
	}
	return readSSH[PathInfo](ctx, c, q)
}

// PythonEnvironment is a Python of a connected machine.
type PythonEnvironment struct {
	Name Text `json:"name"`
	// Type is conda or system.
	Type    Text `json:"type"`
	Version Text `json:"python_version"`
	// Path is on the remote machine.
	Path Text `json:"path"`
	// IsDefault may be true for several.
	IsDefault bool `json:"is_default"`
}

// PythonEnvironments lists the Pythons of a connected machine. The first call took 0.7.2 up
// to 9 s.
//
//viewer:operation GET /api/remote/conda-envs 0.5 0.6 0.7
func (c *Client) PythonEnvironments(ctx context.Context, connectionID string) ([]PythonEnvironment, error) {
	q, err := overConnection(capEnvironments, connectionID)
	if err != nil {
		return nil, err
	}
	answer, err := readSSH[struct {
		acknowledgement
		Environments []PythonEnvironment `json:"envs"`
	}](ctx, c, q)
	switch {
	case err != nil:
		return nil, err
	case !answer.OK:
		return nil, c.rejected(q, KindServer, answer.Message.Value)
	}
	return answer.Environments, nil
}

// RemoteConfig describes a Python of a connected machine. Its paths are on the remote
// machine.
type RemoteConfig struct {
	TextQuality
	CondaEnv      Text `json:"condaEnv"`
	PythonVersion Text `json:"pythonVersion"`
	// RunicornVersion is unknown if runicorn is not installed.
	RunicornVersion     Text `json:"runicornVersion"`
	DefaultStorageRoot  Text `json:"defaultStorageRoot"`
	StorageRootExists   bool `json:"storageRootExists"`
	SuggestedRemotePort Int  `json:"suggestedRemotePort"`
	// HomeDirectory is sent from 0.7 on.
	HomeDirectory Text `json:"homeDirectory"`
}

// RemoteConfig describes a Python of a connected machine: that of condaEnv, or the one on
// the PATH if condaEnv is empty. An unknown environment is KindNotFound.
//
//viewer:operation GET /api/remote/config 0.5 0.6 0.7
func (c *Client) RemoteConfig(ctx context.Context, connectionID, condaEnv string) (*RemoteConfig, error) {
	q, err := overConnection(capRemoteConfig, connectionID)
	if err != nil {
		return nil, err
	}
	if err := checkOptional("conda_env", condaEnv, checkShellText); err != nil {
		return nil, err
	}
	if condaEnv != "" {
		q.environment = condaEnv
		q.query.Set("conda_env", condaEnv)
	}
	answer, err := readSSH[struct {
		acknowledgement
		RemoteConfig
	}](ctx, c, q)
	switch {
	case err != nil:
		return nil, err
	case !answer.OK:
		return nil, c.rejected(q, KindServer, answer.Message.Value)
	}
	return &answer.RemoteConfig, nil
}
