package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// apiError is an error that can be written as a response. Most come from the gRPC server;
// those that this package makes before a call have the same form.
type apiError struct {
	httpStatus int
	st         *status.Status
}

// Error returns the message.
func (e *apiError) Error() string { return e.st.Message() }

// newAPIError returns an apiError with its ErrorInfo as the first detail.
func newAPIError(httpStatus int, c codes.Code, reason runicornapiv1.ErrorReason, message string, metadata map[string]string) *apiError {
	e := &apierr.Error{Code: c, Reason: reason, Message: message, Metadata: metadata}
	return fromAPIErr(httpStatus, e)
}

// fromAPIErr makes an apiError of an error of the API.
func fromAPIErr(httpStatus int, e *apierr.Error) *apiError {
	return &apiError{httpStatus: httpStatus, st: e.GRPCStatus()}
}

// violation names a part of the request that was refused.
func violation(field, format string, args ...any) *errdetails.BadRequest_FieldViolation {
	return &errdetails.BadRequest_FieldViolation{
		Field:       field,
		Description: fmt.Sprintf(format, args...),
	}
}

// invalid refuses parts of a request, as the gRPC server refuses them.
func invalid(violations ...*errdetails.BadRequest_FieldViolation) *apiError {
	return fromAPIErr(http.StatusBadRequest, apierr.InvalidFields(violations...))
}

// fromStatus converts a status. A status without ErrorInfo was made by a library, and
// gets a reason.
func fromStatus(st *status.Status) *apiError {
	httpStatus := runtime.HTTPStatusFromCode(st.Code())
	if errorInfo(st.Proto()) != nil {
		return &apiError{httpStatus: httpStatus, st: st}
	}
	switch st.Code() {
	case codes.InvalidArgument:
		return invalid(violation("", "%s", st.Message()))
	case codes.Canceled:
		return newAPIError(httpStatus, st.Code(), runicornapiv1.ErrorReason_ERROR_REASON_CALLER_CANCELLED, st.Message(), nil)
	case codes.DeadlineExceeded:
		return newAPIError(httpStatus, st.Code(), runicornapiv1.ErrorReason_ERROR_REASON_CALLER_DEADLINE,
			"the deadline has passed: the one in Grpc-Timeout, or this server's own", nil)
	case codes.Unimplemented:
		return newAPIError(httpStatus, st.Code(), runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED, st.Message(), nil)
	case codes.ResourceExhausted:
		return newAPIError(httpStatus, st.Code(), runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT, st.Message(),
			map[string]string{"limit": "message_size"})
	default:
		return &apiError{httpStatus: httpStatus, st: st}
	}
}

// fromError converts an error; ok is false if it is neither an apiError nor a status, and
// so is an internal error.
func fromError(err error) (f *apiError, ok bool) {
	if f, ok := errors.AsType[*apiError](err); ok {
		return f, true
	}
	if e, ok := errors.AsType[*runtime.HTTPStatusError](err); ok && e.HTTPStatus == http.StatusBadRequest {
		return invalid(violation("", "the path is not properly escaped")), true
	}
	if st, ok := status.FromError(err); ok {
		return fromStatus(st), true
	}
	return nil, false
}

// errorInfo returns the ErrorInfo of a status, or nil.
func errorInfo(st *spb.Status) *errdetails.ErrorInfo {
	info, _ := apierr.Detail[*errdetails.ErrorInfo](status.FromProto(st))
	return info
}

// retryAfter returns the delay of a RetryInfo; 0 if the status has none.
func retryAfter(st *spb.Status) time.Duration {
	info, _ := apierr.Detail[*errdetails.RetryInfo](status.FromProto(st))
	return info.GetRetryDelay().AsDuration()
}

// errorBody is the JSON of every error: of the API, of the guard, and in the last line or
// event of a stream.
type errorBody struct {
	Error errorJSON `json:"error"`
}

// errorJSON has the error in several forms: code and status for programs that know gRPC,
// reason for those that know this API, a message for people, and details.
type errorJSON struct {
	Code    int32             `json:"code"`
	Status  string            `json:"status"`
	Reason  string            `json:"reason"`
	Message string            `json:"message"`
	Details []json.RawMessage `json:"details"`
}

// marshalError makes the JSON of an error, without a newline.
func marshalError(st *spb.Status) ([]byte, error) {
	body := errorBody{Error: errorJSON{
		Code:    st.GetCode(),
		Status:  statusName(st.GetCode()),
		Reason:  errorInfo(st).GetReason(),
		Message: st.GetMessage(),
		Details: make([]json.RawMessage, 0, len(st.GetDetails())),
	}}
	for _, d := range st.GetDetails() {
		text, err := marshalDetail(d)
		if err != nil {
			return nil, fmt.Errorf("marshal a detail of an error: %w", err)
		}
		body.Error.Details = append(body.Error.Details, text)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, fmt.Errorf("marshal an error: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// marshalDetail encodes one detail. A detail of an unknown type is passed on as bytes.
func marshalDetail(d *anypb.Any) (json.RawMessage, error) {
	if text, err := marshalOptions.Marshal(d); err == nil {
		return text, nil
	}
	return json.Marshal(map[string]string{
		"@type": d.GetTypeUrl(),
		"value": base64.StdEncoding.EncodeToString(d.GetValue()),
	})
}

// statusName spells a code as google.rpc.Code does, such as NOT_FOUND.
func statusName(c int32) string {
	if name, ok := code.Code_name[c]; ok {
		return name
	}
	return "UNKNOWN"
}

// writeError answers a request with an apiError.
func writeError(w http.ResponseWriter, f *apiError) {
	body, err := marshalError(f.st.Proto())
	if err != nil { // not reachable with known details
		body = []byte(`{"error":{"code":13,"status":"INTERNAL","reason":"INTERNAL_ERROR","message":"the error could not be encoded","details":[]}}`)
		f = &apiError{httpStatus: http.StatusInternalServerError, st: f.st}
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if wait := retryAfter(f.st.Proto()); wait > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	if f.httpStatus == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="`+apierr.Domain+`"`)
	}
	w.WriteHeader(f.httpStatus)
	_, _ = w.Write(append(body, '\n')) // fails only if the client has disconnected
}
