package client

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// Domain is the domain of the server's errors in google.rpc.ErrorInfo.
const Domain = "runicorn-grpc"

// Error is the error of a call.
//
//	if e, ok := errors.AsType[*client.Error](err); ok {
//		log.Print(e.Reason, e.Metadata["viewer"], e.RetryAfter)
//	}
//
// If the caller's context has ended, errors.Is reports context.Canceled or
// context.DeadlineExceeded. status.Code(err) is Code.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason is the machine-readable reason, such as "RUN_NOT_FOUND": the name of a
	// runicornapiv1.ErrorReason without its prefix. It is empty if the error is not the
	// server's own, but that of a proxy or of the connection.
	Reason string
	// Message is for people.
	Message string
	// Metadata has details by name; ErrorReason documents those of each reason.
	Metadata map[string]string
	// Violations describes the invalid fields of the request, by field.
	Violations map[string]string
	// RetryAfter is the minimum delay before a retry; 0 if the server gave none.
	RetryAfter time.Duration
	// HostKey is the key of an SSH server that is not accepted yet, as AcceptHostKey
	// takes it. It is set with the reasons HOST_KEY_UNKNOWN and HOST_KEY_CHANGED.
	HostKey *runicornapiv1.HostKey

	status *status.Status // as received; nil for errors of this package
	cause  error          // error of the caller's context, if it has ended
}

// Error returns the message, with the code in front of it if there is no reason.
func (e *Error) Error() string {
	if e.Reason == "" && e.status != nil && e.Code != codes.Unavailable {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return e.Message
}

// Unwrap returns the error of the caller's context, if that has ended.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns the status for package status.
func (e *Error) GRPCStatus() *status.Status {
	if e.status != nil {
		return e.status
	}
	return status.New(e.Code, e.Message)
}

// HasReason reports whether an error is the server's own and has this reason.
func HasReason(err error, reason runicornapiv1.ErrorReason) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Reason != "" && e.Reason == strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// IsNotFound reports whether the requested resource does not exist: a run, a Viewer,
// an artifact, an asset.
func IsNotFound(err error) bool { return hasCode(err, codes.NotFound) }

// IsInvalid reports whether the request is invalid; Violations has the fields.
func IsInvalid(err error) bool { return hasCode(err, codes.InvalidArgument, codes.OutOfRange) }

// IsUnavailable reports whether the server, or a Viewer behind it, does not answer.
func IsUnavailable(err error) bool { return hasCode(err, codes.Unavailable) }

// IsUnsupported reports whether the Viewer's generation does not support the call;
// Metadata["instead"] names an alternative if there is one.
func IsUnsupported(err error) bool { return hasCode(err, codes.Unimplemented) }

// IsUnauthorized reports whether a token or a login is missing, invalid, or not
// sufficient.
func IsUnauthorized(err error) bool {
	return hasCode(err, codes.Unauthenticated, codes.PermissionDenied)
}

// IsConflict reports whether the resource has changed: the etag of the request is not
// the current one.
func IsConflict(err error) bool { return hasCode(err, codes.Aborted, codes.AlreadyExists) }

// IsIncomplete reports whether an answer was truncated or damaged. No part of it was
// returned.
func IsIncomplete(err error) bool { return hasCode(err, codes.DataLoss) }

// IsOutcomeUnknown reports whether a change was sent but no answer arrived, so it may
// have been made. See Metadata["check"] before a retry.
func IsOutcomeUnknown(err error) bool {
	return HasReason(err, runicornapiv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN)
}

func hasCode(err error, wanted ...codes.Code) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.Contains(wanted, e.Code)
}

func incomplete(format string, args ...any) error {
	return &Error{Code: codes.DataLoss, Message: fmt.Sprintf(format, args...)}
}

// fromGRPC converts an error of grpc, including the details of its status.
func fromGRPC(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	st := status.Convert(err)
	e := &Error{Code: st.Code(), Message: st.Message(), status: st}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == Domain {
				e.Reason, e.Metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = d.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			e.Violations = map[string]string{}
			for _, v := range d.GetFieldViolations() {
				e.Violations[v.GetField()] = v.GetDescription()
			}
		case *runicornapiv1.HostKey:
			e.HostKey = d
		}
	}
	return e
}
