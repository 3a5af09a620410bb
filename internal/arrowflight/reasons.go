package arrowflight

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// UnaryReasons is an interceptor that appends the reason of an error to its message, in calls
// of Flight: the Python and C++ clients show only the message.
func UnaryReasons(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	return resp, WithReason(info.FullMethod, err)
}

// StreamReasons is UnaryReasons for streams.
func StreamReasons(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return WithReason(info.FullMethod, handler(srv, ss))
}

// WithReason appends the reason of an error to its message, if the call is one of Flight.
func WithReason(method string, err error) error {
	if err == nil || !strings.HasPrefix(method, "/"+ServiceName+"/") {
		return err
	}
	st := status.Convert(err)
	info, ok := apierr.Detail[*errdetails.ErrorInfo](st)
	if !ok {
		return err
	}
	changed := st.Proto() // a copy
	changed.Message = fmt.Sprintf("%s [%s]", st.Message(), info.GetReason())
	return status.FromProto(changed).Err()
}
