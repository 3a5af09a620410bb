package interceptor

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Role is what a caller may do; a greater one includes the lesser.
type Role uint8

// The roles. RoleNone is the role of health checks, which anyone may make.
const (
	RoleNone Role = iota
	RoleRead
	RoleWrite
	RoleAdmin
)

var roleNames = [...]string{"none", "read", "write", "admin"}

// String returns the name of the role as the token file spells it.
func (r Role) String() string { return roleNames[r] }

// ParseRole reads a role of the token file.
func ParseRole(name string) (Role, bool) {
	for r := RoleRead; r <= RoleAdmin; r++ {
		if roleNames[r] == name {
			return r, true
		}
	}
	return RoleNone, false
}

// methodRoles is the table of roles: methods that need more than read. A method
// that is not here needs read, reflection included; all of RemoteService needs
// admin.
var methodRoles = map[string]Role{
	runicornapiv1.ExperimentService_UpdateExperiment_FullMethodName:   RoleWrite,
	runicornapiv1.ExperimentService_DeleteExperiments_FullMethodName:  RoleWrite,
	runicornapiv1.ExperimentService_RestoreExperiments_FullMethodName: RoleWrite,
	runicornapiv1.ExperimentService_PurgeExperiments_FullMethodName:   RoleAdmin,
	runicornapiv1.ArtifactService_PromoteArtifact_FullMethodName:      RoleWrite,
	runicornapiv1.ArtifactService_DeleteArtifact_FullMethodName:       RoleWrite,
	runicornapiv1.ViewerService_UpdateConfig_FullMethodName:           RoleAdmin,
	runicornapiv1.ViewerService_CheckStatuses_FullMethodName:          RoleWrite,
}

// RoleOf returns the role that a method needs.
func RoleOf(fullMethod string) Role {
	switch {
	case strings.HasPrefix(fullMethod, "/grpc.health."):
		return RoleNone
	case strings.HasPrefix(fullMethod, "/"+runicornapiv1.RemoteService_ServiceDesc.ServiceName+"/"):
		return RoleAdmin
	}
	if role, ok := methodRoles[fullMethod]; ok {
		return role
	}
	return RoleRead
}

// errNoToken refuses a call without a known token.
var errNoToken = &apierr.Error{
	Code:    codes.Unauthenticated,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
	Message: "this server demands a token: send the metadata authorization: Bearer TOKEN",
}

// roleRequired refuses a call whose token has too low a role.
func roleRequired(need Role) *apierr.Error {
	return &apierr.Error{
		Code:     codes.PermissionDenied,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ROLE_REQUIRED,
		Message:  fmt.Sprintf("this call needs a token of role %s", need),
		Metadata: map[string]string{"role": need.String()},
	}
}

// Token is a token and what its bearer may do.
type Token struct {
	Role  Role
	Token string
}

// Authorizer checks the tokens of calls. Without any token it lets every call
// pass: the server then listens on loopback only, or was told not to mind.
type Authorizer struct {
	tokens atomic.Pointer[[]hashedToken]
}

// hashedToken keeps a token's hash: comparing hashes takes the same time
// whatever was guessed, and no token lies in memory.
type hashedToken struct {
	sum  [sha256.Size]byte
	role Role
	// revoked is over when the token is no longer valid, or has another role.
	revoked context.Context //nolint:containedctx // the life of a token, which no call has
	revoke  context.CancelFunc
}

// SetTokens makes these the tokens, and ends the calls of those that are no longer
// among them. It belongs to one goroutine.
func (a *Authorizer) SetTokens(tokens []Token) {
	old := a.known()
	next := make([]hashedToken, 0, len(tokens))
	kept := make(map[[sha256.Size]byte]Role, len(tokens))
	for _, t := range tokens {
		h := hashedToken{sum: sha256.Sum256([]byte(t.Token)), role: t.Role}
		kept[h.sum] = h.role
		if i := slices.IndexFunc(old, func(o hashedToken) bool { return o.sum == h.sum && o.role == h.role }); i >= 0 {
			h = old[i]
		} else {
			h.revoked, h.revoke = context.WithCancel(context.Background())
		}
		next = append(next, h)
	}
	a.tokens.Store(&next)
	for _, o := range old {
		if role, ok := kept[o.sum]; !ok || role != o.role {
			o.revoke()
		}
	}
}

func (a *Authorizer) known() []hashedToken {
	if tokens := a.tokens.Load(); tokens != nil {
		return *tokens
	}
	return nil
}

// CheckToken checks the value of an authorization header before a request is read.
func (a *Authorizer) CheckToken(authorization string) error {
	_, err := a.authorize(bearer([]string{authorization}), RoleRead)
	return err
}

// authorize checks one call. The token is nil where none is needed.
func (a *Authorizer) authorize(token string, need Role) (*hashedToken, error) {
	known := a.known()
	if len(known) == 0 || need == RoleNone {
		return nil, nil
	}
	found := find(known, token)
	switch {
	case found == nil:
		return nil, errNoToken
	case found.role < need:
		return nil, roleRequired(need)
	}
	return found, nil
}

// find looks at every token, so that its time tells nothing.
func find(known []hashedToken, token string) (found *hashedToken) {
	sum := sha256.Sum256([]byte(token))
	for i := range known {
		if subtle.ConstantTimeCompare(sum[:], known[i].sum[:]) == 1 {
			found = &known[i]
		}
	}
	return found
}

// bearer returns the token of the values of an authorization header, empty if they
// have none.
func bearer(authorization []string) string {
	for _, value := range authorization {
		scheme, token, found := strings.Cut(value, " ")
		if found && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

func (a *Authorizer) authorizeCall(ctx context.Context, need Role) error {
	if c := callOf(ctx); c != nil && c.refusal != nil {
		return c.refusal
	}
	_, err := a.authorize(bearer(metadata.ValueFromIncomingContext(ctx, "authorization")), need)
	return err
}

// Unary is the interceptor for unary calls.
func (a *Authorizer) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	need := RoleOf(info.FullMethod)
	if r, ok := req.(*runicornapiv1.DeleteArtifactRequest); ok && r.GetPermanent() {
		need = RoleAdmin
	}
	if err := a.authorizeCall(ctx, need); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams.
func (a *Authorizer) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := a.authorizeCall(ss.Context(), RoleOf(info.FullMethod)); err != nil {
		return err
	}
	return handler(srv, ss)
}
