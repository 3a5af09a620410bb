// Package apierr is the one error type of the API: a code, a reason of
// error_reason.proto, a message and details, the same over gRPC, over HTTP and on
// the paths of the documented Python client.
package apierr

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// Domain is the ErrorInfo domain of all our errors.
const Domain = "runicorn-grpc"

// Error is an error that is ready to become a status. The error table makes one
// of every other error, and methods return one for what only they can know.
type Error struct {
	Code     codes.Code
	Reason   runicornapiv1.ErrorReason
	Message  string
	Metadata map[string]string
	Details  []proto.Message
	// Cause is logged and found by errors.Is, and never shown.
	Cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// The bounds of a status. It travels as a trailer, which clients refuse from 8 KiB
// on, and a trailer that a client refuses may cost it the whole connection.
const (
	maxMessage    = 1 << 10
	maxText       = 256 // of a violation or a value of the metadata
	maxViolations = 8
	maxMetadata   = 1 << 10
	// maxStatus bounds all of it; base64, in which it is sent, makes 4 KiB of it.
	maxStatus = 3 << 10
)

// GRPCStatus returns the error as a status with its details; ErrorInfo is
// the first of them. It is never larger than 3 KiB: texts are cut, and details
// that do not fit are left out, the last ones first.
func (e *Error) GRPCStatus() *status.Status {
	st := status.New(e.Code, cut(e.Message, maxMessage))
	details := append([]proto.Message{&errdetails.ErrorInfo{
		Reason:   ReasonName(e.Reason),
		Domain:   Domain,
		Metadata: validMetadata(e.Metadata),
	}}, e.Details...)
	for _, d := range details {
		with, err := st.WithDetails(protoadapt.MessageV1Of(d))
		if err == nil && proto.Size(with.Proto()) <= maxStatus {
			st = with
		}
	}
	return st
}

// Bounded is a status that a library made, as large as one of ours may be.
func Bounded(st *status.Status) *status.Status {
	if proto.Size(st.Proto()) <= maxStatus {
		return st
	}
	return status.New(st.Code(), cut(st.Message(), maxMessage))
}

// ReasonName returns a reason as ErrorInfo has it, without the enum's prefix.
func ReasonName(r runicornapiv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// cut makes any bytes marshal, for a proto string must be UTF-8, and at most so many.
func cut(s string, most int) string {
	whole := len(s) <= most
	s = strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD")
	if whole && len(s) <= most {
		return s
	}
	end := min(len(s), most-len("…"))
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// validMetadata leaves out empty values and makes the others marshal.
func validMetadata(m map[string]string) map[string]string {
	out, size := make(map[string]string, len(m)), 0
	for _, k := range slices.Sorted(maps.Keys(m)) {
		v := cut(m[k], maxText)
		if size += len(k) + len(v); v != "" && size <= maxMetadata {
			out[k] = v
		}
	}
	return out
}

// minRetry is the RetryInfo of an error that names no time itself.
const minRetry = time.Second

// RetryInfo is the detail that says when to try again: after wait, or after a
// second if that is less.
func RetryInfo(wait time.Duration) proto.Message {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(max(wait, minRetry))}
}

// Unreachable is the error of a Viewer, or of all of them, that cannot be asked
// now and may be asked again soon.
func Unreachable(viewer, message string, cause error) *Error {
	return &Error{
		Code:     codes.Unavailable,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_UNREACHABLE,
		Message:  message,
		Metadata: map[string]string{"viewer": viewer},
		Details:  []proto.Message{RetryInfo(minRetry)},
		Cause:    cause,
	}
}

// Internal is the error that the caller gets for one that is no business of
// theirs. It has the name of an incident, under which the cause is to be logged.
func Internal(cause error) *Error {
	incident := newIncident()
	return &Error{
		Code:     codes.Internal,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_INTERNAL_ERROR,
		Message:  "an internal error of this server; its log has incident " + incident,
		Metadata: map[string]string{"incident": incident},
		Cause:    cause,
	}
}

// Incident is the name of an internal error, to be found in the log; empty of
// any other error.
func (e *Error) Incident() string { return e.Metadata["incident"] }

// newIncident names an internal error.
func newIncident() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails, says crypto/rand
	return hex.EncodeToString(b[:])
}

// Invalid refuses a field of the request, by its name in the request.
func Invalid(field, format string, args ...any) *Error {
	return InvalidFields(&errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// InvalidFields refuses several fields at once, and tells of the first few.
func InvalidFields(violations ...*errdetails.BadRequest_FieldViolation) *Error {
	message := "invalid request: "
	if more := len(violations) - maxViolations; more > 0 {
		message = fmt.Sprintf("invalid request, %d more violations besides these: ", more)
		violations = violations[:maxViolations]
	}
	texts := make([]string, 0, len(violations))
	for _, v := range violations {
		v.Field, v.Description = cut(v.GetField(), maxText), cut(v.GetDescription(), maxText)
		texts = append(texts, strings.TrimSpace(v.GetField()+" "+v.GetDescription()))
	}
	return &Error{
		Code:    codes.InvalidArgument,
		Reason:  runicornapiv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		Message: message + strings.Join(texts, "; "),
		Details: []proto.Message{badRequest(violations)},
	}
}

// badRequest is the detail of violations, as many of them as fit beside a message.
func badRequest(violations []*errdetails.BadRequest_FieldViolation) *errdetails.BadRequest {
	d := &errdetails.BadRequest{}
	for _, v := range violations {
		d.FieldViolations = append(d.FieldViolations, v)
		if proto.Size(d) > maxStatus-maxMessage-maxText {
			d.FieldViolations = d.FieldViolations[:len(d.FieldViolations)-1]
			break
		}
	}
	return d
}

// OverLimit refuses what is beyond a limit of this server, by the name of the limit.
func OverLimit(limit, format string, args ...any) *Error {
	return &Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
		Message:  fmt.Sprintf(format, args...),
		Metadata: map[string]string{"limit": limit},
	}
}

// Disabled refuses what this server was not told to allow.
func Disabled(what, flag string) *Error {
	return &Error{
		Code:     codes.PermissionDenied,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_FEATURE_DISABLED,
		Message:  fmt.Sprintf("%s is turned off; the server's operator can allow it with %s", what, flag),
		Metadata: map[string]string{"flag": flag},
	}
}
