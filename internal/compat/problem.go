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
	// statusViewerUnavailable is the status if a Viewer, or an SSH server behind it,
	// cannot be reached. The client would repeat a request after 503.
	statusViewerUnavailable = http.StatusFailedDependency
	// statusServerError is the status of a failure of the Viewer or of this server. The
	// client would repeat a request after 500, then raise ConnectionError.
	statusServerError = 520
	// statusClientClosedRequest is seen only in logs.
	statusClientClosedRequest = 499
)

// statuses maps the codes of calls. Other codes become statusServerError.
var statuses = map[codes.Code]int{
	codes.NotFound:           http.StatusNotFound,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest, // the client's exception then includes the text, which says what to do
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

// The reasons that this package sets or checks.
var (
	reasonInvalid               = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_INVALID_REQUEST)
	reasonNoRoute               = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_METHOD_NOT_SERVED)
	reasonInternalError         = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_INTERNAL_ERROR)
	reasonTooLarge              = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_ANSWER_TOO_LARGE)
	reasonViewerLacksCapability = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_LACKS_CAPABILITY)
	// reasonOutcomeUnknown: a change was sent, but not answered. The client must see a
	// failed connection, and must not repeat the request.
	reasonOutcomeUnknown = apierr.ReasonName(runicornapiv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN)
)

// problem is an error in the form that the client reads. BadRequestError and ServerError
// show its text.
type problem struct {
	status int
	allow  string // the methods of the path, for 405

	// Detail is a sentence for people, under the name that Viewers use.
	Detail string `json:"detail"`
	// Reason is the name of an ErrorReason.
	Reason string `json:"reason"`
	// Details are those of the call, such as a host key.
	Details []json.RawMessage `json:"details,omitempty"`
}

// Error returns the sentence.
func (p *problem) Error() string { return p.Detail }

// write writes the problem. It never sends Retry-After, which makes the client repeat a
// request after 413 and 429 as well.
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

// problemOf converts any error. One that is neither a problem nor the status of a call is
// an internal error, whose text is only logged.
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
	p := &problem{Detail: st.Message(), Reason: apierr.ReasonOf(st)}
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

// marshalDetail encodes one detail. Details that every error has are left out, as the
// problem already has their content.
func marshalDetail(d *anypb.Any) (json.RawMessage, error) {
	if d.MessageIs((*errdetails.ErrorInfo)(nil)) || d.MessageIs((*errdetails.RetryInfo)(nil)) {
		return nil, errors.New("redundant detail")
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(d)
}

// hasReason reports whether a call failed for a reason.
func hasReason(err error, reason string) bool {
	if err == nil {
		return false
	}
	st, ok := status.FromError(err)
	return ok && apierr.ReasonOf(st) == reason
}
