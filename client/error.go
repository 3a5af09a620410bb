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

// Domain is that of the server's own errors in google.rpc.ErrorInfo.
const Domain = "runicorn-grpc"

// Error is the error of a call.
//
//	if e, ok := errors.AsType[*client.Error](err); ok {
//		log.Print(e.Reason, e.Metadata["viewer"], e.RetryAfter)
//	}
//
// errors.Is(err, context.Canceled) and context.DeadlineExceeded hold where the
// caller's context has ended, and status.Code(err) is Code.
type Error struct {
	// Code is the status of gRPC.
	Code codes.Code
	// Reason is why, such as "RUN_NOT_FOUND": the name of a
	// runicornapiv1.ErrorReason without its prefix. It is empty where the error is
	// not the server's own but comes from what is between.
	Reason string
	// Message is a sentence for people.
	Message string
	// Metadata are facts by name; ErrorReason says which ones a reason has.
	Metadata map[string]string
	// Violations are what is wrong with the request, by field.
	Violations map[string]string
	// RetryAfter is how long to wait before a further attempt; 0 if not said.
	RetryAfter time.Duration
	// HostKey is the key of an SSH server that is not accepted yet, ready for
	// AcceptHostKey; with the reasons HOST_KEY_UNKNOWN and HOST_KEY_CHANGED.
	HostKey *runicornapiv1.HostKey

	status *status.Status // as it was received; nil for errors that are found here
	cause  error          // how the caller's context ended, if it has
}

// Error is the message; without a reason the code stands before it.
func (e *Error) Error() string {
	if e.Reason == "" && e.status != nil && e.Code != codes.Unavailable {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return e.Message
}

// Unwrap returns the error of the caller's context, if that has ended.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus makes the error one for package status.
func (e *Error) GRPCStatus() *status.Status {
	if e.status != nil {
		return e.status
	}
	return status.New(e.Code, e.Message)
}

// HasReason says whether an error is the server's own, with this reason.
func HasReason(err error, reason runicornapiv1.ErrorReason) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Reason != "" && e.Reason == strings.TrimPrefix(reason.String(), "ERROR_REASON_")
}

// IsNotFound says whether what was asked for does not exist: a run, a Viewer, an
// artifact, an asset.
func IsNotFound(err error) bool { return hasCode(err, codes.NotFound) }

// IsInvalid says whether the request is wrong; Violations says where.
func IsInvalid(err error) bool { return hasCode(err, codes.InvalidArgument, codes.OutOfRange) }

// IsUnavailable says whether the server, or a Viewer behind it, does not answer.
func IsUnavailable(err error) bool { return hasCode(err, codes.Unavailable) }

// IsUnsupported says whether the Viewer's generation lacks what was asked for;
// Metadata["instead"] names what serves, if anything does.
func IsUnsupported(err error) bool { return hasCode(err, codes.Unimplemented) }

// IsUnauthorized says whether a token or a login is missing, wrong, or allows too
// little.
func IsUnauthorized(err error) bool {
	return hasCode(err, codes.Unauthenticated, codes.PermissionDenied)
}

// IsConflict says whether another one has changed it since: an etag is not the
// current one.
func IsConflict(err error) bool { return hasCode(err, codes.Aborted, codes.AlreadyExists) }

// IsIncomplete says whether an answer was cut or is damaged. Nothing of it was
// returned.
func IsIncomplete(err error) bool { return hasCode(err, codes.DataLoss) }

// IsOutcomeUnknown says whether a change was sent and its answer never came:
// it may have happened. See Metadata["check"] before you try again.
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

// fromGRPC reads the details of a status.
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
