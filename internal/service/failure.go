package service

import (
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// domain is the ErrorInfo domain of all our errors.
const domain = "runicorn-grpc"

// failure is an error that is ready to become a status: the table in errors.go
// makes one of every error, and methods return one for what only they can
// know.
type failure struct {
	code     codes.Code
	reason   runicornapiv1.ErrorReason
	message  string
	metadata map[string]string
	details  []proto.Message
	// cause is logged and found by errors.Is, and never shown.
	cause error
}

// Error returns the message.
func (f *failure) Error() string { return f.message }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.cause }

// GRPCStatus returns the failure as a status with its details; ErrorInfo is
// the first of them.
func (f *failure) GRPCStatus() *status.Status {
	details := []protoadapt.MessageV1{protoadapt.MessageV1Of(&errdetails.ErrorInfo{
		Reason:   reasonName(f.reason),
		Domain:   domain,
		Metadata: validMetadata(f.metadata),
	})}
	for _, d := range f.details {
		details = append(details, protoadapt.MessageV1Of(d))
	}
	st := status.New(f.code, validText(f.message))
	with, err := st.WithDetails(details...)
	if err != nil {
		return st // only a detail that cannot be marshalled, which validText prevents
	}
	return with
}

// reasonName returns a reason as ErrorInfo has it, without the enum's prefix.
func reasonName(r runicornapiv1.ErrorReason) string {
	return strings.TrimPrefix(r.String(), "ERROR_REASON_")
}

// validText makes any bytes marshal: a proto string must be UTF-8.
func validText(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// validMetadata leaves out empty values and makes the others marshal.
func validMetadata(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		if v != "" {
			out[k] = validText(v)
		}
	}
	return out
}

// invalid refuses a field of the request, by its name in the request.
func invalid(field, format string, args ...any) *failure {
	return invalidFields(&errdetails.BadRequest_FieldViolation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// invalidFields refuses several fields at once.
func invalidFields(violations ...*errdetails.BadRequest_FieldViolation) *failure {
	texts := make([]string, 0, len(violations))
	for _, v := range violations {
		v.Field, v.Description = validText(v.GetField()), validText(v.GetDescription())
		texts = append(texts, strings.TrimSpace(v.GetField()+" "+v.GetDescription()))
	}
	return &failure{
		code:    codes.InvalidArgument,
		reason:  runicornapiv1.ErrorReason_ERROR_REASON_INVALID_REQUEST,
		message: "invalid request: " + strings.Join(texts, "; "),
		details: []proto.Message{&errdetails.BadRequest{FieldViolations: violations}},
	}
}

// errNoToken refuses a call without a known token.
var errNoToken = &failure{
	code:    codes.Unauthenticated,
	reason:  runicornapiv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
	message: "this server demands a token: send the metadata authorization: Bearer TOKEN",
}

// roleRequired refuses a call whose token has too low a role.
func roleRequired(need Role) *failure {
	return &failure{
		code:     codes.PermissionDenied,
		reason:   runicornapiv1.ErrorReason_ERROR_REASON_ROLE_REQUIRED,
		message:  fmt.Sprintf("this call needs a token of role %s", need),
		metadata: map[string]string{"role": need.String()},
	}
}

// disabled refuses what this server was not told to allow.
func disabled(what, flag string) *failure {
	return &failure{
		code:     codes.PermissionDenied,
		reason:   runicornapiv1.ErrorReason_ERROR_REASON_FEATURE_DISABLED,
		message:  fmt.Sprintf("%s is turned off; the server's operator can allow it with %s", what, flag),
		metadata: map[string]string{"flag": flag},
	}
}
