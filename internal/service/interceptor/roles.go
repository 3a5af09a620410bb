package interceptor

import (
	"context"
	"fmt"
	"strings"

	middleware "github.com/grpc-ecosystem/go-grpc-middleware/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Role is what a caller may do; a greater role includes the lesser ones.
type Role uint8

// The roles. RoleNone is for health checks, which need no token.
const (
	RoleNone Role = iota
	RoleRead
	RoleWrite
	RoleAdmin
)

var roleNames = [...]string{"none", "read", "write", "admin"}

// String returns the name of the role as the token file spells it.
func (r Role) String() string { return roleNames[r] }

// ParseRole parses a role of the token file.
func ParseRole(name string) (Role, bool) {
	for r := RoleRead; r <= RoleAdmin; r++ {
		if roleNames[r] == name {
			return r, true
		}
	}
	return RoleNone, false
}

// methodRoles has the methods that need more than read. Methods that are not listed,
// including reflection, need read; all methods of RemoteService need admin.
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

// roleRequired is the error for a caller whose role is too low.
func roleRequired(need Role) *apierr.Error {
	return &apierr.Error{
		Code:     codes.PermissionDenied,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ROLE_REQUIRED,
		Message:  fmt.Sprintf("this call needs a token of role %s", need),
		Metadata: map[string]string{"role": need.String()},
	}
}

// reachesOthers reports whether a method can make a Viewer show the data of another one,
// by a tunnel or by its storage folder. A token that is limited to some Viewers may call
// none of these methods.
func reachesOthers(fullMethod string) bool {
	return fullMethod == runicornapiv1.ViewerService_UpdateConfig_FullMethodName ||
		strings.HasPrefix(fullMethod, "/"+runicornapiv1.RemoteService_ServiceDesc.ServiceName+"/")
}

// errLimited refuses a token that is limited to some Viewers for a method that could show
// all of them.
var errLimited = &apierr.Error{
	Code:     codes.PermissionDenied,
	Reason:   runicornapiv1.ErrorReason_ERROR_REASON_ROLE_REQUIRED,
	Message:  "this call needs a token that is not limited to certain viewers",
	Metadata: map[string]string{"viewers": "all"},
}

// authorize checks a call, and returns the context for its method.
func (a *Authorizer) authorize(ctx context.Context, fullMethod string, need Role) (context.Context, error) {
	if c := callOf(ctx); c != nil && c.refusal != nil {
		return ctx, c.refusal
	}
	who := callerOf(ctx)
	if who == nil { // the server has no tap
		who = a.identify(metadata.ValueFromIncomingContext(ctx, "authorization"), nil)
		ctx = who.in(ctx)
	}
	return ctx, who.check(fullMethod, need)
}

// Unary is the interceptor for unary calls.
func (a *Authorizer) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	need := RoleOf(info.FullMethod)
	if r, ok := req.(*runicornapiv1.DeleteArtifactRequest); ok && r.GetPermanent() {
		need = RoleAdmin
	}
	ctx, err := a.authorize(ctx, info.FullMethod, need)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams.
func (a *Authorizer) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, err := a.authorize(ss.Context(), info.FullMethod, RoleOf(info.FullMethod))
	if err != nil {
		return err
	}
	return handler(srv, &middleware.WrappedServerStream{ServerStream: ss, WrappedContext: ctx})
}
