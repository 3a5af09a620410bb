package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// statusRows is every gRPC code with an error that has it, and the HTTP status
// that it must become.
var statusRows = []struct {
	code       codes.Code
	reason     string
	httpStatus int
	details    []proto.Message
}{
	{codes.Canceled, "CALLER_CANCELLED", 499, nil},
	{codes.Unknown, "OUTCOME_UNKNOWN", 500, nil},
	{codes.InvalidArgument, "INVALID_REQUEST", 400, []proto.Message{&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "run_id", Description: "must not be empty"}}}}},
	{codes.DeadlineExceeded, "VIEWER_TIMEOUT", 504, nil},
	{codes.NotFound, "RUN_NOT_FOUND", 404, []proto.Message{&errdetails.ResourceInfo{ResourceType: "run", ResourceName: "r1", Owner: "main"}}},
	{codes.AlreadyExists, "STATE_CONFLICT", 409, nil},
	{codes.PermissionDenied, "ROLE_REQUIRED", 403, nil},
	{codes.ResourceExhausted, "VIEWER_RATE_LIMITED", 429, []proto.Message{&errdetails.RetryInfo{RetryDelay: durationpb.New(7200 * time.Millisecond)}}},
	{codes.FailedPrecondition, "HOST_KEY_UNKNOWN", 400, []proto.Message{&runicornapiv1.HostKey{Host: "gpu1", Port: 22, KeyType: "ssh-ed25519"}}},
	{codes.Aborted, "ETAG_MISMATCH", 409, nil},
	{codes.OutOfRange, "STATE_CONFLICT", 400, nil},
	{codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", 501, nil},
	{codes.Internal, "VIEWER_ERROR", 500, nil},
	{codes.Unavailable, "VIEWER_UNREACHABLE", 503, []proto.Message{&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}}},
	{codes.DataLoss, "STREAM_CUT", 500, nil},
	{codes.Unauthenticated, "TOKEN_INVALID", 401, nil},
	{codes.Code(99), "INTERNAL_ERROR", 500, nil},
}

// statusError returns the error of a row in the form of the gRPC server.
func statusError(tb testing.TB, c codes.Code, reason string, details ...proto.Message) error {
	tb.Helper()
	all := []protoadapt.MessageV1{protoadapt.MessageV1Of(&errdetails.ErrorInfo{
		Reason: reason, Domain: apierr.Domain, Metadata: map[string]string{"viewer": "main"},
	})}
	for _, d := range details {
		all = append(all, protoadapt.MessageV1Of(d))
	}
	st, err := status.New(c, "viewer main: <it> & \"that\"").WithDetails(all...)
	if err != nil {
		tb.Fatal(err)
	}
	return st.Err()
}

// TestErrors sends every code through a unary call and through both forms of a
// stream that fails before its first message: all three answers are the same.
func TestErrors(t *testing.T) {
	t.Parallel()
	var failure error
	b := &backend{unary: func(context.Context, any) (proto.Message, error) { return nil, failure }}
	b.tail = func(*runicornapiv1.TailMetricsRequest, grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
		return failure
	}
	srv := serve(t, b)
	requests := []request{
		{path: "/v1/experiments/r1"},
		{path: "/v1/metrics:tail?run_ids=r1"},
		{path: "/v1/metrics:tail?run_ids=r1", header: map[string]string{"Accept": mediaEvents}},
		{path: "/v1/metrics:tail?run_ids=r1", header: map[string]string{"Accept": mediaEvents, "Last-Event-ID": "x"}},
	}
	var all strings.Builder
	for _, row := range statusRows {
		failure = statusError(t, row.code, row.reason, row.details...)
		for i, in := range requests {
			got := do(t, srv, in)
			if got.status != row.httpStatus {
				t.Errorf("%s over %s: HTTP %d, want %d", row.code, in.path, got.status, row.httpStatus)
			}
			e := errorOf(t, got)
			if e.Code != int32(row.code) || e.Reason != row.reason { //nolint:gosec // a code
				t.Errorf("%s over %s: %+v", row.code, in.path, e)
			}
			wait := map[codes.Code]string{codes.ResourceExhausted: "8", codes.Unavailable: "1"}[row.code]
			if h := got.header.Get("Retry-After"); h != wait {
				t.Errorf("%s over %s: Retry-After %q, want %q", row.code, in.path, h, wait)
			}
			if h := got.header.Get("WWW-Authenticate"); (h != "") != (row.httpStatus == 401) {
				t.Errorf("%s over %s: WWW-Authenticate %q", row.code, in.path, h)
			}
			if i == 0 {
				fmt.Fprintf(&all, "HTTP %d\n%s\n", got.status, indented(t, got.body))
			}
		}
	}
	golden(t, "errors.txt", all.String())
}

func TestErrors_OfLibrariesGetAReason(t *testing.T) {
	t.Parallel()
	var failure error
	b := &backend{unary: func(context.Context, any) (proto.Message, error) { return nil, failure }}
	srv := serve(t, b)
	for c, want := range map[codes.Code]string{
		codes.Canceled:          "CALLER_CANCELLED",
		codes.InvalidArgument:   "INVALID_REQUEST",
		codes.DeadlineExceeded:  "CALLER_DEADLINE",
		codes.ResourceExhausted: "SERVER_LIMIT",
		codes.Unimplemented:     "METHOD_NOT_SERVED",
		codes.Unavailable:       "INTERNAL_ERROR", // the connection to our own server broke
	} {
		failure = status.Error(c, "a library says so")
		got := do(t, srv, request{path: "/v1/experiments"})
		e := errorOf(t, got)
		if e.Reason != want || len(e.Details) == 0 {
			t.Errorf("%s: reason %q with %d details, want %s", c, e.Reason, len(e.Details), want)
		}
	}
}

func TestErrors_WithoutAStatusAreInternalErrors(t *testing.T) {
	t.Parallel()
	a := &api{Config: Config{Log: discard()}}
	f := a.toAPIError(t.Context(), fmt.Errorf("secret path /home/x"))
	if f.httpStatus != http.StatusInternalServerError || strings.Contains(f.Error(), "secret") || errorInfo(f.st.Proto()).GetMetadata()["incident"] == "" {
		t.Errorf("%d %v", f.httpStatus, f.st)
	}
}

func TestErrors_KeepDetailsThatAreNotKnown(t *testing.T) {
	t.Parallel()
	unknown := &anypb.Any{TypeUrl: "type.googleapis.com/not.Known", Value: []byte{1, 2}}
	got, err := marshalDetail(unknown)
	if want := `{"@type":"type.googleapis.com/not.Known","value":"AQI="}`; err != nil || string(got) != want {
		t.Errorf("%s %v, want %s", got, err, want)
	}
}

// TestReasons: what this package refuses itself has reasons of the contract.
func TestReasons(t *testing.T) {
	t.Parallel()
	var names []string
	for _, name := range runicornapiv1.ErrorReason_name {
		names = append(names, strings.TrimPrefix(name, "ERROR_REASON_"))
	}
	srv := serve(t, &backend{})
	for _, in := range []request{
		{path: "/nowhere"},
		{path: "/v1/nowhere"},
		{method: "PUT", path: "/v1/experiments"},
		{method: "POST", path: "/docs"},
		{path: "/", host: "evil.example"},
		{path: "/v1/experiments?nonsense=1"},
		{method: "POST", path: "/v1/experiments:purge", body: "x"},
		{method: "POST", path: "/v1/experiments:purge", body: strings.Repeat(" ", defaultMaxBody+1), header: jsonBody},
	} {
		if e := errorOf(t, do(t, srv, in)); !slices.Contains(names, e.Reason) {
			t.Errorf("%s %s: reason %q is not in the contract", in.method, in.path, e.Reason)
		}
	}
}
