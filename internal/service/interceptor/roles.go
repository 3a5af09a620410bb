package interceptor

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

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

// Authorizer checks the tokens of calls. Without any token it lets every call
// pass: the server then listens on loopback only, or was told not to mind.
type Authorizer struct {
	tokens []hashedToken
}

// hashedToken keeps a token's hash: comparing hashes takes the same time
// whatever was guessed, and no token lies in memory.
type hashedToken struct {
	sum  [sha256.Size]byte
	role Role
}

// Add makes a token known.
func (a *Authorizer) Add(token string, role Role) {
	a.tokens = append(a.tokens, hashedToken{sum: sha256.Sum256([]byte(token)), role: role})
}

// authorize checks one call.
func (a *Authorizer) authorize(ctx context.Context, need Role) error {
	if len(a.tokens) == 0 || need == RoleNone {
		return nil
	}
	role, ok := a.roleOf(bearer(ctx))
	switch {
	case !ok:
		return errNoToken
	case role < need:
		return roleRequired(need)
	}
	return nil
}

// roleOf looks at every token, so that its time tells nothing.
func (a *Authorizer) roleOf(token string) (role Role, ok bool) {
	sum := sha256.Sum256([]byte(token))
	for _, known := range a.tokens {
		if subtle.ConstantTimeCompare(sum[:], known.sum[:]) == 1 {
			role, ok = max(role, known.role), true
		}
	}
	return role, ok
}

// bearer returns the token of a call, empty if it has none.
func bearer(ctx context.Context) string {
	for _, value := range metadata.ValueFromIncomingContext(ctx, "authorization") {
		scheme, token, found := strings.Cut(value, " ")
		if found && strings.EqualFold(scheme, "bearer") {
			return strings.TrimSpace(token)
		}
	}
	return ""
}

// Unary is the interceptor for unary calls.
func (a *Authorizer) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	need := RoleOf(info.FullMethod)
	if r, ok := req.(*runicornapiv1.DeleteArtifactRequest); ok && r.GetPermanent() {
		need = RoleAdmin
	}
	if err := a.authorize(ctx, need); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams.
func (a *Authorizer) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := a.authorize(ss.Context(), RoleOf(info.FullMethod)); err != nil {
		return err
	}
	return handler(srv, ss)
}
