package interceptor

import (
	"context"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Admission refuses calls that this server does not accept: those of RemoteService if the
// operator has not enabled it, and every new call while the server drains. Health checks
// are always accepted; during the drain they report NOT_SERVING.
type Admission struct {
	// DisableRemote makes the methods of RemoteService fail. It is set if the server
	// listens beyond loopback and the operator has not enabled them.
	DisableRemote bool
	// Draining is closed when the server begins to shut down; nil means never.
	Draining <-chan struct{}
}

// errDraining refuses calls that arrive after the drain has begun.
var errDraining = &apierr.Error{
	Code:    codes.Unavailable,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING,
	Message: "this server is shutting down; call another one, or this one after its restart",
}

// admit returns an error if the call is refused.
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
