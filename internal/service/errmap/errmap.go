// Package errmap is the error table: it maps any error of a method to the error that the
// caller gets. Most entries are for the kinds of failure of restclient.
package errmap

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// mapping is the status for one kind of failure of a Viewer.
type mapping struct {
	code   codes.Code
	reason runicornapiv1.ErrorReason
	text   string // precedes the Viewer's own message
}

// mappings has one entry per kind of failure of restclient. The reasons are explained in
// error_reason.proto.
var mappings = map[restclient.Kind]mapping{
	restclient.KindUnreachable:     {codes.Unavailable, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_UNREACHABLE, "the viewer cannot be reached"},
	restclient.KindTimeout:         {codes.DeadlineExceeded, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_TIMEOUT, "the viewer was too slow"},
	restclient.KindOutcomeUnknown:  {codes.Unknown, runicornapiv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN, "the change was sent but its answer never came, so it may have happened"},
	restclient.KindNotFound:        {codes.NotFound, runicornapiv1.ErrorReason_ERROR_REASON_RESOURCE_NOT_FOUND, "not found"},
	restclient.KindBadRequest:      {codes.InvalidArgument, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_REFUSED_REQUEST, "the viewer refused the request"},
	restclient.KindAuth:            {codes.Unauthenticated, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_AUTH, "the viewer requires a login"},
	restclient.KindForbidden:       {codes.PermissionDenied, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_FORBIDDEN, "the viewer refuses access"},
	restclient.KindHostKey:         {codes.FailedPrecondition, runicornapiv1.ErrorReason_ERROR_REASON_HOST_KEY_UNKNOWN, "the SSH server's host key is not accepted yet"},
	restclient.KindConflict:        {codes.FailedPrecondition, runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT, "the viewer's state does not allow it"},
	restclient.KindTooLarge:        {codes.ResourceExhausted, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_ANSWER_TOO_LARGE, "the viewer's answer is too large"},
	restclient.KindRateLimited:     {codes.ResourceExhausted, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_RATE_LIMITED, "the viewer limits the rate of requests"},
	restclient.KindUnsupported:     {codes.Unimplemented, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_LACKS_CAPABILITY, "this viewer does not support it"},
	restclient.KindServer:          {codes.Internal, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_ERROR, "the viewer failed"},
	restclient.KindMalformed:       {codes.Internal, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_MALFORMED_ANSWER, "the viewer's answer is malformed"},
	restclient.KindCutOff:          {codes.DataLoss, runicornapiv1.ErrorReason_ERROR_REASON_STREAM_CUT, "the viewer's answer was cut off"},
	restclient.KindSSHAuth:         {codes.Unauthenticated, runicornapiv1.ErrorReason_ERROR_REASON_SSH_AUTH_FAILED, "the SSH server refused the login"},
	restclient.KindSSHUnreachable:  {codes.Unavailable, runicornapiv1.ErrorReason_ERROR_REASON_SSH_UNREACHABLE, "the SSH server cannot be reached"},
	restclient.KindSSHTimeout:      {codes.DeadlineExceeded, runicornapiv1.ErrorReason_ERROR_REASON_SSH_TIMEOUT, "the SSH server was too slow"},
	restclient.KindSSHPrecondition: {codes.FailedPrecondition, runicornapiv1.ErrorReason_ERROR_REASON_REMOTE_VIEWER_FAILED, "the remote machine is not prepared"},
	restclient.KindSSHKey:          {codes.InvalidArgument, runicornapiv1.ErrorReason_ERROR_REASON_SSH_KEY_INVALID, "the SSH key or its passphrase cannot be used"},
	restclient.KindRemoteRunicorn:  {codes.FailedPrecondition, runicornapiv1.ErrorReason_ERROR_REASON_REMOTE_RUNICORN_MISSING, "the remote machine lacks the runicorn package"},
	restclient.KindPortTaken:       {codes.FailedPrecondition, runicornapiv1.ErrorReason_ERROR_REASON_REMOTE_PORT_TAKEN, "a port that the remote viewer needs is taken"},
}

// notFoundReasons maps the resource of a 404 to its reason.
var notFoundReasons = map[string]runicornapiv1.ErrorReason{
	"run":            runicornapiv1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND,
	"artifact":       runicornapiv1.ErrorReason_ERROR_REASON_ARTIFACT_NOT_FOUND,
	"asset":          runicornapiv1.ErrorReason_ERROR_REASON_ASSET_NOT_FOUND,
	"connection":     runicornapiv1.ErrorReason_ERROR_REASON_CONNECTION_NOT_FOUND,
	"viewer session": runicornapiv1.ErrorReason_ERROR_REASON_SESSION_NOT_FOUND,
}

// APIError maps any error of a method to the error that the caller gets. An error of an
// unknown type is an internal error.
func APIError(ctx context.Context, err error) *apierr.Error {
	if f, ok := errors.AsType[*apierr.Error](err); ok {
		return f
	}
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind != restclient.KindCanceled {
		return viewerError(e)
	}
	if e, ok := errors.AsType[*restclient.IDError](err); ok {
		return apierr.Invalid(e.Field, "%s", e.Reason)
	}
	if e, ok := errors.AsType[*fleet.UnknownError](err); ok {
		return &apierr.Error{
			Code: codes.NotFound, Reason: runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_NOT_FOUND, Message: e.Error(),
			Metadata: map[string]string{"viewer": e.Name, "known": strings.Join(e.Known, ",")},
			Details:  []proto.Message{&errdetails.ResourceInfo{ResourceType: "viewer", ResourceName: convert.Text(e.Name)}},
		}
	}
	if e, ok := errors.AsType[*fleet.EndedError](err); ok {
		return apierr.Unreachable(e.Name, e.Error(), nil)
	}
	return contextError(ctx, err)
}

// contextError maps the caller's deadline or cancellation; any other error is an internal
// error.
func contextError(ctx context.Context, err error) *apierr.Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &apierr.Error{
			Code: codes.DeadlineExceeded, Reason: runicornapiv1.ErrorReason_ERROR_REASON_CALLER_DEADLINE,
			Message: "the caller's deadline has passed", Cause: err,
		}
	case errors.Is(err, context.Canceled) || errors.Is(ctx.Err(), context.Canceled):
		return &apierr.Error{
			Code: codes.Canceled, Reason: runicornapiv1.ErrorReason_ERROR_REASON_CALLER_CANCELLED,
			Message: "the caller cancelled the call", Cause: err,
		}
	}
	return apierr.Internal(err)
}

// viewerError maps a failure of a Viewer by the table.
func viewerError(e *restclient.Error) *apierr.Error {
	r, ok := mappings[e.Kind]
	if !ok {
		r = mappings[restclient.KindServer]
	}
	f := &apierr.Error{Code: r.code, Reason: r.reason, Message: viewerMessage(e, r.text), Cause: e}
	f.Metadata = map[string]string{"viewer": e.Viewer}
	switch e.Kind {
	case restclient.KindUnreachable, restclient.KindRateLimited, restclient.KindSSHUnreachable:
		f.Details = append(f.Details, apierr.RetryInfo(e.RetryAfter))
	case restclient.KindOutcomeUnknown:
		f.Metadata["check"] = e.Method + " " + e.Route
	case restclient.KindNotFound:
		addNotFound(f, e)
	case restclient.KindBadRequest:
		f.Details = append(f.Details, badRequest(e))
	case restclient.KindHostKey:
		addHostKey(f, e)
	case restclient.KindUnsupported:
		f.Metadata["capability"] = string(e.Capability)
		f.Metadata["viewer_version"] = e.ViewerVersion
		f.Metadata["instead"] = e.Alternative
	case restclient.KindRemoteRunicorn:
		f.Metadata["command"] = "pip install runicorn"
	case restclient.KindCutOff:
		f.Metadata["bytes_delivered"] = strconv.FormatInt(e.BytesDelivered, 10)
	}
	return f
}

// viewerMessage describes the failure in one sentence. restclient has already scrubbed
// the Viewer's own message.
func viewerMessage(e *restclient.Error, text string) string {
	var b strings.Builder
	if e.Viewer != "" {
		fmt.Fprintf(&b, "viewer %s: ", e.Viewer)
	}
	if e.Kind == restclient.KindUnsupported && e.Action != "" {
		text = "this viewer cannot " + e.Action
	}
	b.WriteString(text)
	if e.Kind == restclient.KindUnsupported && e.ViewerVersion != "" {
		b.WriteString(", being Runicorn " + e.ViewerVersion)
	}
	if e.Address != "" {
		b.WriteString(" at " + e.Address)
	}
	if cause := e.Cause(); cause != "" {
		b.WriteString(": " + cause)
	}
	if e.Kind == restclient.KindNotFound && e.ResourceID != "" {
		fmt.Fprintf(&b, ": %s %q", e.Resource, e.ResourceID)
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	if e.Kind == restclient.KindUnsupported && e.Alternative != "" {
		b.WriteString("; instead, " + e.Alternative)
	}
	if advice := e.Advice(); advice != "" {
		b.WriteString("; " + advice)
	}
	return b.String()
}

// addNotFound adds the resource that was not found.
func addNotFound(f *apierr.Error, e *restclient.Error) {
	if reason, ok := notFoundReasons[e.Resource]; ok {
		f.Reason = reason
	}
	if e.Resource == "run" {
		f.Metadata["run_id"] = e.ResourceID
	}
	f.Details = append(f.Details, &errdetails.ResourceInfo{
		ResourceType: convert.Text(e.Resource),
		ResourceName: convert.Text(e.ResourceID),
		Owner:        e.Viewer,
	})
}

// addHostKey adds the host key that is not accepted.
func addHostKey(f *apierr.Error, e *restclient.Error) {
	k := e.HostKey
	if k == nil {
		return
	}
	if k.Reason == "changed" {
		f.Reason = runicornapiv1.ErrorReason_ERROR_REASON_HOST_KEY_CHANGED
		f.Message = "the SSH server presents another host key than the accepted one"
	}
	f.Details = append(f.Details, convert.HostKey(k))
}

// badRequest lists the fields that the Viewer complained about. The first element of its
// locations, such as body, is not a field of this API.
func badRequest(e *restclient.Error) *errdetails.BadRequest {
	out := &errdetails.BadRequest{}
	for _, v := range e.Violations {
		loc := v.Loc
		if len(loc) > 1 {
			loc = loc[1:]
		}
		out.FieldViolations = append(out.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: convert.Text(strings.Join(loc, ".")), Description: convert.Text(v.Message),
		})
	}
	return out
}

// Status returns the status of an error as batch responses hold it.
func Status(ctx context.Context, err error) *status.Status {
	if err == nil {
		return status.New(codes.OK, "")
	}
	return APIError(ctx, err).GRPCStatus()
}
