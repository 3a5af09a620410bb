// Package apierr defines the error type of the API: a code, a reason from
// error_reason.proto, a message and details. gRPC, HTTP and the paths of the documented
// Python client all use it.
package apierr

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// Domain is the ErrorInfo domain of every error of this server.
const Domain = "runicorn-grpc"

// Error is an error that is ready to become a gRPC status. The error table (errmap)
// converts other errors to it; methods create one where only they know the reason.
type Error struct {
	Code     codes.Code
	Reason   runicornapiv1.ErrorReason
	Message  string
	Metadata map[string]string
	Details  []proto.Message
	// Cause is logged and visible to errors.Is, but never sent to the client.
	Cause error
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Size limits of a status in bytes. A status travels as a trailer: clients reject trailers
// of 8 KiB or more, and may close the whole connection when they do.
const (
	maxMessage    = 1 << 10
	maxText       = 256 // of a field violation or a metadata value
	maxViolations = 8
	maxMetadata   = 1 << 10
	// maxStatus limits the encoded status; base64 on the wire makes it 4 KiB.
	maxStatus = 3 << 10
)

// GRPCStatus returns the error as a status whose first detail is ErrorInfo. The status is
// at most 3 KiB: texts are truncated, and details that do not fit are left out.
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

// Bounded returns a status made by a library, truncated to the same size limit.
func Bounded(st *status.Status) *status.Status {
	if proto.Size(st.Proto()) <= maxStatus {
		return st
	}
	return status.New(st.Code(), cut(st.Message(), maxMessage))
}

// ReasonName returns a reason as ErrorInfo spells it: without the enum's prefix.
func ReasonName(r runicornapiv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// Detail returns the first detail of type M of a status.
func Detail[M proto.Message](st *status.Status) (found M, ok bool) {
	for _, d := range st.Details() {
		if found, ok = d.(M); ok {
			return found, true
		}
	}
	return found, false
}

// ReasonOf returns the reason of a status as ErrorInfo spells it; empty if it has none.
func ReasonOf(st *status.Status) string {
	info, _ := Detail[*errdetails.ErrorInfo](st)
	return info.GetReason()
}

// cut truncates s to limit bytes and makes it valid UTF-8, which proto strings must be.
func cut(s string, limit int) string {
	whole := len(s) <= limit
	s = strings.ToValidUTF8(s[:min(len(s), limit)], "\uFFFD")
	if whole && len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:min(len(s), limit-len("…"))], "") + "…"
}

// validMetadata returns valid UTF-8 values within maxMetadata, without the empty ones.
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

// minRetry is the shortest delay that RetryInfo suggests.
const minRetry = time.Second

// RetryInfo returns the detail that tells a client to retry after wait, or after one second
// if wait is shorter.
func RetryInfo(wait time.Duration) proto.Message {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(max(wait, minRetry))}
}

// Unreachable returns the error for a Viewer, or for all Viewers, that cannot be reached
// now; the client may retry soon.
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

// Internal hides the cause from the caller behind an incident id. The caller of Internal
// logs the cause under the same id.
func Internal(cause error) *Error {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	incident := hex.EncodeToString(id[:])
	return &Error{
		Code:     codes.Internal,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_INTERNAL_ERROR,
		Message:  "an internal error of this server; its log has incident " + incident,
		Metadata: map[string]string{"incident": incident},
		Cause:    cause,
	}
}

// Incident returns the id of an internal error, which the log also has; it is empty for
// other errors.
func (e *Error) Incident() string { return e.Metadata["incident"] }

// Invalid returns the error for one invalid field, named as in the request.
func Invalid(field, format string, args ...any) *Error {
	return InvalidFields(&errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// InvalidFields returns the error for several invalid fields; it lists at most
// maxViolations.
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

// badRequest returns as many violations as fit into a status beside the message.
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

// OverLimit returns the error for a request that exceeds the named limit of this server.
func OverLimit(limit, format string, args ...any) *Error {
	return &Error{
		Code:     codes.ResourceExhausted,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
		Message:  fmt.Sprintf(format, args...),
		Metadata: map[string]string{"limit": limit},
	}
}

// Disabled returns the error for a feature that the operator has not enabled with the flag.
func Disabled(what, flag string) *Error {
	return &Error{
		Code:     codes.PermissionDenied,
		Reason:   runicornapiv1.ErrorReason_ERROR_REASON_FEATURE_DISABLED,
		Message:  fmt.Sprintf("%s is turned off; the server's operator can allow it with %s", what, flag),
		Metadata: map[string]string{"flag": flag},
	}
}
