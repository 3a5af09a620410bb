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
	// Hosts are the SSH servers that are allowed, by the names that requests use; all if
	// empty.
	Hosts []string
	// AllowKeyPaths permits private keys on a Viewer's machine. A caller that may name
	// one can use every key that the Viewer can read.
	AllowKeyPaths bool
}

// allows returns an error for a host that is not in Hosts.
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

// login converts a target to an SSH server and a login, if they are allowed.
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

// portOrDefault returns the port, that of SSH if none is given.
func portOrDefault(port *int32) int {
	if port == nil {
		return 22
	}
	return int(*port)
}

// authMethod returns the login method of a saved connection, in the Viewers' words.
func authMethod(l restclient.Login) string {
	switch {
	case l.PrivateKey != "" || l.PrivateKeyPath != "":
		return "key"
	case l.Password != "":
		return "password"
	}
	return "agent"
}

// prefixField prefixes the field of an error with that of the message that contains it.
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

// save has a Viewer save a connection, and reads the result.
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

// findSaved finds a saved connection. It is needed because Viewers report success for the
// deletion of an unknown one.
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
	return nil, restclient.NotFound(v.Name, "saved connection", id, "")
}
