package interceptor

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Admission turns away whole calls that this server does not take: those of
// RemoteService where the operator has not allowed them, and every new one
// while the server drains. Health checks always pass: whoever asks during the
// drain is told NOT_SERVING.
type Admission struct {
	// DisableRemote turns RemoteService off; it is so beyond loopback.
	DisableRemote bool
	// Draining is closed when the server begins to shut down; nil means never.
	Draining <-chan struct{}
}

// errDraining turns a call away that came after the server began to drain.
var errDraining = &apierr.Error{
	Code:    codes.Unavailable,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING,
	Message: "this server is shutting down; another one, or this one after its restart, will take the call",
}

// admit decides about one call.
func (a Admission) admit(fullMethod string) error {
	if RoleOf(fullMethod) == RoleNone {
		return nil
	}
	select {
	case <-a.Draining:
		return errDraining
	default:
	}
	remote := "/" + runicornapiv1.RemoteService_ServiceDesc.ServiceName + "/"
	if a.DisableRemote && strings.HasPrefix(fullMethod, remote) {
		return apierr.Disabled("RemoteService", "--enable-remote")
	}
	return nil
}

// Unary is the interceptor for unary calls.
func (a Admission) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	if err := a.admit(info.FullMethod); err != nil {
		return nil, err
	}
	return handler(ctx, req)
}

// Stream is the interceptor for streams.
func (a Admission) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if err := a.admit(info.FullMethod); err != nil {
		return err
	}
	return handler(srv, ss)
}
