package interceptor

import (
	"context"
	"crypto/tls"
	"crypto/x509"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// caller identifies the caller of a method.
type caller struct {
	grant *grant            // nil if no token is required, or none was accepted
	err   error             // why the caller is not authenticated; nil if it is
	cert  *x509.Certificate // the verified client certificate; nil if none
}

type callerKey struct{}

func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// in returns a context with the Viewers that the caller may see, which are none if the
// caller is not authenticated.
func (c *caller) in(ctx context.Context) context.Context {
	ctx = context.WithValue(ctx, callerKey{}, c)
	switch {
	case c.err != nil:
		return fleet.WithVisible(ctx, nil)
	case c.isLimited():
		return fleet.WithVisible(ctx, c.grant.Viewers)
	}
	return ctx
}

// isLimited reports whether the caller may see only some Viewers.
func (c *caller) isLimited() bool { return c.grant != nil && c.grant.Viewers != nil }

func (c *caller) isByCert() bool { return c.grant != nil && c.grant.Cert != "" }

// check returns an error if the caller may not call a method that needs a role.
func (c *caller) check(fullMethod string, need Role) error {
	switch {
	case need == RoleNone:
		return nil
	case c.err != nil:
		return c.err
	case c.grant != nil && c.grant.Role < need:
		return roleRequired(need)
	case c.isLimited() && reachesOthers(fullMethod):
		return errLimited
	}
	return nil
}

// Admit returns an error if the caller of the context may not make any call. A context
// without a caller is that of the server's own work.
func Admit(ctx context.Context) error {
	if c := callerOf(ctx); c != nil {
		return c.err
	}
	return nil
}

// AdmitToAll returns an error if the caller may not read information about every Viewer.
func AdmitToAll(ctx context.Context) error {
	if c := callerOf(ctx); c != nil && c.err == nil && c.isLimited() {
		return errLimited
	}
	return Admit(ctx)
}

// Identify returns the context of an HTTP request with its caller. It refuses nothing:
// that is left to Admit and to the calls that are made.
func (a *Authorizer) Identify(ctx context.Context, authorization []string, state *tls.ConnectionState) context.Context {
	return a.identify(authorization, verifiedCert(state)).in(ctx)
}

// verifiedCert returns the client certificate of a connection; nil if there is none.
func verifiedCert(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// certHeader is the metadata key that carries the client certificate of the original
// caller over the in-memory connection. It is ignored on every other connection.
const certHeader = "runicorn-client-cert-bin"

// Forward adds the caller's certificate to a call over the in-memory connection.
func Forward(ctx context.Context) context.Context {
	if c := callerOf(ctx); c != nil && c.cert != nil {
		return metadata.AppendToOutgoingContext(ctx, certHeader, string(c.cert.Raw))
	}
	return ctx
}

// inMemory is the network name of the connection on which this process calls itself.
const inMemory = "bufconn"

// clientCert returns the certificate of the caller of a gRPC call.
func clientCert(ctx context.Context, info *tap.Info) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if p.Addr.Network() == inMemory {
		for _, der := range info.Header.Get(certHeader) {
			if cert, err := x509.ParseCertificate([]byte(der)); err == nil { // Forward has encoded a parsed certificate
				return cert
			}
		}
		return nil
	}
	if over, ok := p.AuthInfo.(credentials.TLSInfo); ok {
		return verifiedCert(&over.State)
	}
	return nil
}
