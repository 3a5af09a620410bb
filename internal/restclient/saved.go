package restclient

import (
	"cmp"
	"context"
	"errors"
)

// A Viewer stores connections in two places. This is the one whose list hides secrets in
// every generation. The route with the details of one connection, and the other place,
// return secrets in clear before 0.7 and are never called.

// SavedConnection is a connection stored by the Viewer. Secrets are not even decoded.
type SavedConnection struct {
	// ID is host:port@user, unlike the id of a connection.
	ID         Text `json:"key"`
	Host       Text `json:"host"`
	Port       Int  `json:"port"`
	Username   Text `json:"username"`
	Name       Text `json:"name"`
	AuthMethod Text `json:"auth_method"`
	// HasPassphrase is sent from 0.7 on.
	HasPassword, HasPrivateKey bool
	HasPassphrase              *bool
}

// savedEntry is an entry as the Viewer sends it; 0.7 has renamed a field.
type savedEntry struct {
	SavedConnection
	AuthMethod07  Text  `json:"authMethod"`
	HasPassword   bool  `json:"has_password"`
	HasPrivateKey bool  `json:"has_private_key"`
	HasPassphrase *bool `json:"has_passphrase"`
}

// SavedConnections lists the stored connections.
//
//viewer:operation GET /api/config/ssh_connections 0.5 0.6 0.7
func (c *Client) SavedConnections(ctx context.Context) ([]SavedConnection, error) {
	answer, err := readJSON[struct {
		Connections []savedEntry `json:"connections"`
	}](ctx, c, call{cap: capSavedList})
	if err != nil {
		return nil, withSafeCause(err)
	}
	saved := make([]SavedConnection, 0, len(answer.Connections))
	for _, e := range answer.Connections {
		s := e.SavedConnection
		s.AuthMethod = cmp.Or(s.AuthMethod, e.AuthMethod07)
		s.HasPassword, s.HasPrivateKey, s.HasPassphrase = e.HasPassword, e.HasPrivateKey, e.HasPassphrase
		saved = append(saved, s)
	}
	return saved, nil
}

// SaveRequest is a connection to store.
type SaveRequest struct {
	Login
	// Name is for display.
	Name string
	// AuthMethod is password, key or agent.
	AuthMethod string
	// Remember makes the Viewer store the secrets, too. Before 0.7 it only obfuscates them.
	// Without Remember they are not sent.
	Remember bool
}

// SaveConnection makes the Viewer store a connection, replacing one to the same endpoint.
// 0.5.3 and 0.6.0 keep the last 10.
//
//viewer:operation POST /api/config/ssh_connections 0.5 0.6 0.7
func (c *Client) SaveConnection(ctx context.Context, s SaveRequest) error {
	if err := cmp.Or(s.check(), checkOptional("name", s.Name, checkText)); err != nil {
		return err
	}
	login := s.body()
	if !s.Remember {
		login.Password, login.PrivateKey, login.Passphrase = "", "", ""
	}
	q := call{cap: capSaveConnection, secrets: s.secrets(), body: struct {
		loginBody
		Name       string `json:"name"`
		AuthMethod string `json:"auth_method"`
		Remember   bool   `json:"remember_password"`
	}{login, s.Name, cmp.Or(s.AuthMethod, "password"), s.Remember}}
	return withSafeCause(c.acknowledge(ctx, q))
}

// DeleteSaved deletes a stored connection. The Viewer reports success even if there is
// none.
//
//viewer:operation DELETE /api/config/ssh_connections/{key} 0.5 0.6 0.7
func (c *Client) DeleteSaved(ctx context.Context, id string) error {
	return c.acknowledge(ctx, call{cap: capDeleteSaved, ids: []string{id}})
}

// withSafeCause hides a cause that may quote a secret.
func withSafeCause(err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return err
	}
	own := *e // a copy, because the error may be shared
	own.Err = safeCause(e.Err)
	return &own
}
