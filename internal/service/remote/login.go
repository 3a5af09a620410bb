package remote

import (
	"context"
	"errors"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// Policy is what callers may have Viewers do over SSH.
type Policy struct {
	// Hosts are the only SSH servers to connect to, by the names that requests
	// give them; any if empty.
	Hosts []string
	// AllowKeyPaths permits private keys that lie on a Viewer's machine: whoever
	// may name one may use every key that the Viewer can read.
	AllowKeyPaths bool
}

// allows refuses a host that is not on the list.
func (p Policy) allows(host string) error {
	if len(p.Hosts) == 0 {
		return nil
	}
	for _, allowed := range p.Hosts {
		if strings.EqualFold(allowed, host) {
			return nil
		}
	}
	return apierr.Disabled("SSH to this host", "--remote-hosts")
}

// login converts an SSH server and a login on it, if they are allowed.
func (p Policy) login(target *runicornapiv1.SshTarget) (restclient.Login, error) {
	if err := p.allows(target.GetHost()); err != nil {
		return restclient.Login{}, err
	}
	if target.GetPrivateKeyPath() != "" && !p.AllowKeyPaths {
		return restclient.Login{}, apierr.Disabled("naming a private key file on the viewer's machine", "--allow-key-paths")
	}
	return restclient.Login{
		Endpoint:       restclient.Endpoint{Host: target.GetHost(), Port: portOrDefault(target.Port), Username: target.GetUsername()},
		Password:       restclient.Secret(target.GetPassword()),
		PrivateKey:     restclient.Secret(target.GetPrivateKey()),
		PrivateKeyPath: restclient.Secret(target.GetPrivateKeyPath()),
		Passphrase:     restclient.Secret(target.GetPassphrase()),
		UseAgent:       target.UseAgent == nil || target.GetUseAgent(),
	}, nil
}

// portOrDefault is the port of SSH where none is given.
func portOrDefault(port *int32) int {
	if port == nil {
		return 22
	}
	return int(*port)
}

// authMethod says what a saved login uses, in the Viewers' words.
func authMethod(l restclient.Login) string {
	switch {
	case l.PrivateKey != "" || l.PrivateKeyPath != "":
		return "key"
	case l.Password != "":
		return "password"
	}
	return "agent"
}

// prefixField completes the name of a refused field with that of the message that
// holds it.
func prefixField(message string, err error) error {
	refused, ok := errors.AsType[*restclient.IDError](err)
	switch {
	case !ok:
		return err
	case message == "saved_connection_id": // the field itself, under another name
		return &restclient.IDError{Field: message, Reason: refused.Reason}
	case refused.Field == "name":
		return &restclient.IDError{Field: "display_name", Reason: refused.Reason}
	}
	return &restclient.IDError{Field: message + "." + refused.Field, Reason: refused.Reason}
}

// save has a Viewer remember a connection, and reads what it remembers.
func save(ctx context.Context, v *fleet.Viewer, req restclient.SaveRequest) (*runicornapiv1.SavedConnection, error) {
	if err := v.Client.SaveConnection(ctx, req); err != nil {
		return nil, prefixField("target", err)
	}
	saved, err := findSaved(ctx, v, req.SavedID())
	if err != nil {
		return nil, err
	}
	return savedOf(*saved), nil
}

// findSaved finds a remembered connection: Viewers answer the same to the
// deletion of one that they do not know.
func findSaved(ctx context.Context, v *fleet.Viewer, id string) (*restclient.SavedConnection, error) {
	saved, err := v.Client.SavedConnections(ctx)
	if err != nil {
		return nil, err
	}
	for i := range saved {
		if saved[i].ID.Value == id {
			return &saved[i], nil
		}
	}
	return nil, notFoundError(v, "saved connection", id)
}

// notFoundError says that a Viewer holds no such thing.
func notFoundError(v *fleet.Viewer, noun, id string) error {
	return &restclient.Error{Kind: restclient.KindNotFound, Viewer: v.Name, Resource: noun, ResourceID: id}
}
