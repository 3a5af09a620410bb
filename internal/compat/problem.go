package compat

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// The client makes NotFoundError of 404, BadRequestError of 400, ServerError of
// 500 and above, and ConnectionError of every other failure. It has no way to
// raise its AuthenticationError.
const (
	// statusViewerUnavailable stands for a Viewer, or an SSH server behind it, that
	// cannot be reached: 503 would be repeated.
	statusViewerUnavailable = http.StatusFailedDependency
	// statusServerError stands for a failure of the Viewer or of ours: 500 would
	// be repeated, and then be called a ConnectionError.
	statusServerError = 520
	// statusClientClosedRequest is read by nobody but logs.
	statusClientClosedRequest = 499
)

// statuses is the table of what the code of a call becomes. What is not in it
// is a server error.
var statuses = map[codes.Code]int{
	codes.NotFound:           http.StatusNotFound,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest, // the exception then has the text, which says what to do
	codes.Aborted:            http.StatusConflict,
	codes.AlreadyExists:      http.StatusConflict,
	codes.Unauthenticated:    http.StatusUnauthorized,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        statusViewerUnavailable,
	codes.DeadlineExceeded:   statusViewerUnavailable,
	codes.Canceled:           statusClientClosedRequest,
}

// The reasons that this package gives or looks for.
var (
	reasonInvalid               = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_INVALID_REQUEST)
	reasonNoRoute               = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED)
	reasonInternalError         = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_INTERNAL_ERROR)
	reasonTooLarge              = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE)
	reasonViewerLacksCapability = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_LACKS_CAPABILITY)
	// reasonOutcomeUnknown is a change whose answer never came: to the client a
	// connection that failed, and never one to be repeated by itself.
	reasonOutcomeUnknown = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN)
)

// problem is an error as the client gets it. Its text is what BadRequestError
// and ServerError show.
type problem struct {
	status int
	allow  string // the methods that the path has, for 405

	// Detail is a sentence for people, under the name that Viewers use.
	Detail string `json:"detail"`
	// Reason is the name of an ErrorReason.
	Reason string `json:"reason"`
	// Details are those of the call, such as a host key.
	Details []json.RawMessage `json:"details,omitempty"`
}

// Error returns the sentence.
func (p *problem) Error() string { return p.Detail }

// write answers with the problem. There is never a Retry-After: with it the
// client repeats a 413 and a 429 as well.
func (p *problem) write(w http.ResponseWriter) error {
	if p.allow != "" {
		w.Header().Set("Allow", p.allow)
	}
	return writeJSON(w, p.status, p)
}

// invalid refuses a request before any call.
func invalid(detail string) *problem {
	return &problem{status: http.StatusBadRequest, Reason: reasonInvalid, Detail: detail}
}

// problemOf makes the answer of any error. What is neither a problem nor the
// status of a call is an internal error, whose text only the log gets.
func (c *compat) problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if st, ok := status.FromError(err); ok {
		return problemOfStatus(st)
	}
	internal := apierr.Internal(err)
	c.log.ErrorContext(ctx, "internal error", slog.String("incident", internal.Incident()), slog.Any("error", err))
	return &problem{status: statusServerError, Reason: reasonInternalError, Detail: internal.Message}
}

// problemOfStatus applies the table.
func problemOfStatus(st *status.Status) *problem {
	p := &problem{Detail: st.Message(), Reason: reasonOf(st)}
	var known bool
	if p.status, known = statuses[st.Code()]; !known {
		p.status = statusServerError
	}
	if p.Reason == reasonOutcomeUnknown {
		p.status = statusViewerUnavailable
	}
	for _, d := range st.Proto().GetDetails() {
		if text, err := marshalDetail(d); err == nil {
			p.Details = append(p.Details, text)
		}
	}
	return p
}

// marshalDetail makes the JSON of one detail. Those that every error has say
// nothing that the problem does not say.
func marshalDetail(d *anypb.Any) (json.RawMessage, error) {
	if d.MessageIs((*errdetails.ErrorInfo)(nil)) || d.MessageIs((*errdetails.RetryInfo)(nil)) {
		return nil, errors.New("of no use here")
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(d)
}

// reasonOf returns the reason of a status; empty if it has none.
func reasonOf(st *status.Status) string {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// hasReason tells why a call failed.
func hasReason(err error, reason string) bool {
	if err == nil {
		return false
	}
	st, ok := status.FromError(err)
	return ok && reasonOf(st) == reason
}
