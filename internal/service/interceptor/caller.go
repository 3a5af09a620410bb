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

// caller is who makes a call.
type caller struct {
	grant *grant            // nil where no token is needed, and where there is none
	err   error             // why the caller has no authority; nil if it has
	cert  *x509.Certificate // that it has shown, verified; nil if none
}

type callerKey struct{}

func callerOf(ctx context.Context) *caller {
	c, _ := ctx.Value(callerKey{}).(*caller)
	return c
}

// in returns the context of what is done for the caller: it sees the caller's Viewers, and
// none if the caller has no authority.
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

// isLimited reports whether the caller may see some Viewers only.
func (c *caller) isLimited() bool { return c.grant != nil && c.grant.Viewers != nil }

func (c *caller) isByCert() bool { return c.grant != nil && c.grant.Cert != "" }

// check says whether the caller may call a method that needs a role.
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

// Admit says whether the caller of a context may make calls at all. A context without a
// caller is that of the server's own work.
func Admit(ctx context.Context) error {
	if c := callerOf(ctx); c != nil {
		return c.err
	}
	return nil
}

// AdmitToAll says whether the caller may read what tells of every Viewer.
func AdmitToAll(ctx context.Context) error {
	if c := callerOf(ctx); c != nil && c.err == nil && c.isLimited() {
		return errLimited
	}
	return Admit(ctx)
}

// Identify returns the context of a request over HTTP, with its caller. Nothing is
// refused by that: Admit and the calls that are made say what is.
func (a *Authorizer) Identify(ctx context.Context, authorization []string, state *tls.ConnectionState) context.Context {
	return a.identify(authorization, verifiedCert(state)).in(ctx)
}

// verifiedCert is the certificate of the client of a connection; nil if it has shown none.
func verifiedCert(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 {
		return nil
	}
	return state.PeerCertificates[0]
}

// certHeader is the metadata in which a call in memory has the certificate of whoever it
// is made for. It is believed on that connection only.
const certHeader = "runicorn-client-cert-bin"

// Forward adds the certificate of the caller to a call over the connection in memory.
func Forward(ctx context.Context) context.Context {
	if c := callerOf(ctx); c != nil && c.cert != nil {
		return metadata.AppendToOutgoingContext(ctx, certHeader, string(c.cert.Raw))
	}
	return ctx
}

// inMemory is the network of the connection by which this process calls itself.
const inMemory = "bufconn"

// clientCert is the certificate of the caller of a call over gRPC.
func clientCert(ctx context.Context, info *tap.Info) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if p.Addr.Network() == inMemory {
		for _, der := range info.Header.Get(certHeader) {
			if cert, err := x509.ParseCertificate([]byte(der)); err == nil { // it was parsed before
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
