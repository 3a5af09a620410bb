package interceptor

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Token is a credential and what it permits. Exactly one of Token, Hash and Cert is set.
type Token struct {
	Role  Role
	Token string
	// Hash is the SHA-256 of the token if only that is known.
	Hash [sha256.Size]byte
	// Cert is a name in a client certificate: CN=, DNS=, URI= or EMAIL= and a value.
	Cert string
	// Name identifies the owner; it may be empty.
	Name string
	// Expires is when the token becomes invalid; never if zero.
	Expires time.Time
	// Viewers are the configured Viewers that the token may see, with those that they
	// have tunneled; nil means all.
	Viewers []string
}

var (
	// errNoToken refuses a call without a known token.
	errNoToken = noAuthority("this server requires a token: send the metadata authorization: Bearer TOKEN")
	// errUnknownCert refuses a client certificate that the token file does not name.
	errUnknownCert = noAuthority("the token file of this server has no line for this client certificate, and no token was sent")
	// errExpired refuses an expired token, and ends its calls.
	errExpired = noAuthority("the token of this call has expired: ask the server's operator for another one")
	// errCertExpired is the counterpart for certificates: a connection may outlive its
	// certificate.
	errCertExpired = noAuthority("the client certificate of this connection has expired: connect with another one")
	// errRevoked ends the calls of a token that is no longer valid.
	errRevoked = noAuthority("the token of this call was revoked")
)

func noAuthority(message string) *apierr.Error {
	return &apierr.Error{Code: codes.Unauthenticated, Reason: runicornapiv1.ErrorReason_ERROR_REASON_TOKEN_INVALID, Message: message}
}

// grant is one known Token without its text. Comparing hashes takes the same time for
// every guess, and no token stays in memory.
type grant struct {
	Token
	*life
}

// life is the validity of a token and the number of its open calls. When the token file
// is read again, lines that give the same authority share it.
type life struct {
	ctx    context.Context //nolint:containedctx // the life of a token, which no call has
	cancel context.CancelCauseFunc
	expiry *time.Timer // nil if the token does not expire
	usage  usage
}

func newLife() *life {
	l := &life{}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	return l
}

// end ends the calls.
func (l *life) end(cause error) {
	if l.expiry != nil {
		l.expiry.Stop()
	}
	l.cancel(cause)
}

// expireAt sets when it ends by itself; never if zero.
func (l *life) expireAt(at time.Time) {
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if !at.IsZero() {
		l.expiry = time.AfterFunc(time.Until(at), func() { l.cancel(errExpired) })
	}
}

// err returns why the token is not valid now.
func (g *grant) err() error {
	if !g.Expires.IsZero() && !time.Now().Before(g.Expires) {
		return errExpired
	}
	return nil
}

// continues reports whether the calls of an older grant may continue with this one.
func (g *grant) continues(old *grant) bool {
	return g.Hash == old.Hash && g.Cert == old.Cert && g.Role == old.Role && old.ctx.Err() == nil &&
		(g.Viewers == nil) == (old.Viewers == nil) && slices.Equal(g.Viewers, old.Viewers)
}

// Authorizer holds the tokens of callers. Without tokens it admits every call: the server
// then listens on loopback only, or was configured to admit all.
type Authorizer struct {
	grants atomic.Pointer[[]*grant]
}

// SetTokens replaces the tokens, and ends the calls of those that no longer have the same
// authority. It must be called by one goroutine at a time.
func (a *Authorizer) SetTokens(tokens []Token) {
	old, kept := a.known(), map[*life]bool{}
	next := make([]*grant, 0, len(tokens))
	for _, t := range tokens {
		if t.Token != "" {
			t.Hash, t.Token = sha256.Sum256([]byte(t.Token)), ""
		}
		g := &grant{Token: t}
		if i := slices.IndexFunc(old, g.continues); i >= 0 {
			g.life = old[i].life
		} else {
			g.life = newLife()
		}
		g.expireAt(t.Expires)
		kept[g.life] = true
		next = append(next, g)
	}
	a.grants.Store(&next)
	for _, o := range old {
		if !kept[o.life] {
			o.end(errRevoked)
		}
	}
}

func (a *Authorizer) known() []*grant {
	if grants := a.grants.Load(); grants != nil {
		return *grants
	}
	return nil
}

// identify identifies the caller. A token takes precedence over a certificate, which may
// be that of a proxy.
func (a *Authorizer) identify(authorization []string, cert *x509.Certificate) *caller {
	c, known := &caller{cert: cert}, a.known()
	token := bearer(authorization)
	switch {
	case len(known) == 0:
		return c
	case token != "":
		c.grant, c.err = findToken(known, token), errNoToken
	case cert != nil:
		c.grant, c.err = findCert(known, cert), errUnknownCert
	default:
		c.err = errNoToken
	}
	if c.grant != nil {
		c.err = c.grant.err()
	}
	if c.err == nil && c.isByCert() && time.Now().After(cert.NotAfter) {
		c.err = errCertExpired
	}
	return c
}

// findToken compares with every token, so that its duration reveals nothing.
func findToken(known []*grant, token string) (found *grant) {
	sum := sha256.Sum256([]byte(token))
	for _, g := range known {
		if g.Cert == "" && subtle.ConstantTimeCompare(sum[:], g.Hash[:]) == 1 {
			found = g
		}
	}
	return found
}

// findCert returns the first grant for any of the names in a certificate.
func findCert(known []*grant, cert *x509.Certificate) *grant {
	names := certNames(cert)
	for _, g := range known {
		if slices.Contains(names, g.Cert) {
			return g
		}
	}
	return nil
}

// certNames returns the names in a certificate in the form of Token.Cert, with DNS names
// in lower case. An empty common name is left out.
func certNames(cert *x509.Certificate) (names []string) {
	if cert.Subject.CommonName != "" {
		names = append(names, "CN="+cert.Subject.CommonName)
	}
	for _, name := range cert.DNSNames {
		names = append(names, "DNS="+strings.ToLower(name))
	}
	for _, name := range cert.EmailAddresses {
		names = append(names, "EMAIL="+name)
	}
	for _, name := range cert.URIs {
		names = append(names, "URI="+name.String())
	}
	return names
}

// bearer returns the token in the values of an authorization header, empty if there is
// none.
func bearer(authorization []string) string {
	for _, value := range authorization {
		scheme, token, found := strings.Cut(value, " ")
		if found && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}
