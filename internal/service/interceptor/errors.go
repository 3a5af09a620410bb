package interceptor

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
)

// toStatusError is the last step of every call: it makes the status, and logs what the
// caller must not see.
func toStatusError(ctx context.Context, logger *slog.Logger, method string, err error) error {
	if err == nil {
		return nil
	}
	// If this server has ended the call, the cause of that is the error, whatever the
	// method returned.
	if ended := endedBy(ctx); ended != nil {
		err = ended
	}
	if st, ok := status.FromError(err); ok {
		if _, ours := errors.AsType[*apierr.Error](err); !ours {
			return fromLibraryStatus(st)
		}
	}
	f := errmap.APIError(ctx, err)
	if f.Reason == runicornapiv1.ErrorReason_ERROR_REASON_INTERNAL_ERROR {
		logger.ErrorContext(ctx, "internal error", slog.String("method", method),
			slog.String("incident", f.Incident()), slog.Any("error", err))
	}
	return f.GRPCStatus().Err()
}

// fromLibraryStatus adds a reason to a status that was made by a library, for an unknown
// method or a message over the limit.
func fromLibraryStatus(st *status.Status) error {
	if len(st.Proto().GetDetails()) > 0 {
		return apierr.Bounded(st).Err()
	}
	f := &apierr.Error{Code: st.Code(), Message: st.Message()}
	switch st.Code() {
	case codes.Unimplemented:
		f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED
	case codes.Canceled:
		f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_CALLER_CANCELLED
	case codes.DeadlineExceeded:
		f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_CALLER_DEADLINE
	case codes.ResourceExhausted:
		f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT
	default:
		return apierr.Bounded(st).Err()
	}
	return f.GRPCStatus().Err()
}

// UnaryErrors is the interceptor that applies the table to unary calls.
func UnaryErrors(logger *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := handler(ctx, req)
		if err == nil {
			err = answer.CheckMessage(resp)
		}
		return resp, toStatusError(ctx, logger, info.FullMethod, err)
	}
}

// StreamErrors is the interceptor that applies the table to streams.
func StreamErrors(logger *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return toStatusError(ss.Context(), logger, info.FullMethod, handler(srv, ss))
	}
}
