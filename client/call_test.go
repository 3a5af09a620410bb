package client

import (
	"context"
	"crypto/tls"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestExperiments_PagesByItself(t *testing.T) {
	t.Parallel()
	lost := &runicornapiv1.UnreachableViewer{Viewer: "b", Error: &spb.Status{Message: "refused"}}
	f := &fake{list: func(call int, req *runicornapiv1.ListExperimentsRequest) (*runicornapiv1.ListExperimentsResponse, error) {
		if req.GetFilter() != "x" || req.GetPageSize() != pageSize || (req.GetSkip() == 1) != (call <= 2) {
			t.Errorf("call %d: %v", call, req)
		}
		switch call {
		case 1: // reads are retried
			return nil, status.Error(codes.Unavailable, "gone")
		case 2:
			return &runicornapiv1.ListExperimentsResponse{Experiments: []*runicornapiv1.Experiment{{RunId: "1"}, {RunId: "2"}}, NextPageToken: "next"}, nil
		default:
			if req.GetPageToken() != "next" {
				t.Errorf("page token %q", req.GetPageToken())
			}
			return &runicornapiv1.ListExperimentsResponse{
				Experiments: []*runicornapiv1.Experiment{{RunId: "3"}}, NotReadCount: 2000,
				Unreachable: []*runicornapiv1.UnreachableViewer{lost, lost}, NotRead: []*runicornapiv1.ExperimentResult{{RunId: "4"}},
			}, nil
		}
	}}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		request := &runicornapiv1.ListExperimentsRequest{Filter: "x", Skip: 1}
		var ids []string
		var last error
		for e, err := range c.Experiments(t.Context(), request) {
			if last = err; err == nil {
				ids = append(ids, e.GetRunId())
			}
		}
		partial, ok := errors.AsType[*PartialError](last)
		if strings.Join(ids, "") != "123" || !ok || len(partial.Unreachable) != 1 || !strings.Contains(last.Error(), "viewer b: refused; 2000 experiments") {
			t.Errorf("experiments %s, then %v", ids, last)
		}
		if request.GetPageToken() != "" {
			t.Error("the caller's request was changed")
		}
	})
}

func TestChangesAreNeverSentTwice(t *testing.T) {
	t.Parallel()
	f := &fake{delete: func() error { return status.Error(codes.Unavailable, "gone") }}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		if _, err := c.ExperimentService.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{}); !IsUnavailable(err) || f.calls != 1 {
			t.Errorf("%d calls: %v", f.calls, err)
		}
	})
}

func TestError_HasWhatTheServerSays(t *testing.T) {
	t.Parallel()
	details := []error{}
	f := &fake{list: func(int, *runicornapiv1.ListExperimentsRequest) (*runicornapiv1.ListExperimentsResponse, error) {
		return nil, details[0]
	}}
	withFake(t, f, func(t *testing.T, c *Client) {
		t.Helper()
		st, err := status.New(codes.ResourceExhausted, "too much of it").WithDetails(
			&errdetails.ErrorInfo{Reason: "VIEWER_RATE_LIMITED", Domain: Domain, Metadata: map[string]string{"viewer": "a"}},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(3 * time.Second)},
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "filter", Description: "is odd"}}},
			&runicornapiv1.HostKey{FingerprintSha256: "SHA256:x"})
		if err != nil {
			t.Fatal(err)
		}
		details = append(details, st.Err())
		_, err = c.ExperimentService.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{})
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Reason != "VIEWER_RATE_LIMITED" || e.Metadata["viewer"] != "a" || e.RetryAfter != 3*time.Second || e.Violations["filter"] != "is odd" ||
			e.HostKey.GetFingerprintSha256() != "SHA256:x" || e.Error() != "too much of it" || status.Code(err) != codes.ResourceExhausted || len(status.Convert(err).Details()) != 4 {
			t.Errorf("error %#v", err)
		}
		if !HasReason(err, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_RATE_LIMITED) || HasReason(err, runicornapiv1.ErrorReason_ERROR_REASON_UNSPECIFIED) {
			t.Error("the reason is missing")
		}
		details[0] = status.Error(codes.Internal, "of a proxy")
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		if _, err := c.ExperimentService.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestError_Predicates(t *testing.T) {
	t.Parallel()
	predicates := map[string]func(error) bool{
		"not found": IsNotFound, "invalid": IsInvalid, "unavailable": IsUnavailable, "unsupported": IsUnsupported,
		"unauthorized": IsUnauthorized, "conflict": IsConflict, "incomplete": IsIncomplete, "outcome unknown": IsOutcomeUnknown,
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{&Error{Code: codes.NotFound}, "not found"},
		{&Error{Code: codes.InvalidArgument}, "invalid"},
		{&Error{Code: codes.OutOfRange}, "invalid"},
		{&Error{Code: codes.Unavailable}, "unavailable"},
		{&Error{Code: codes.Unimplemented}, "unsupported"},
		{&Error{Code: codes.Unauthenticated}, "unauthorized"},
		{&Error{Code: codes.PermissionDenied}, "unauthorized"},
		{&Error{Code: codes.Aborted}, "conflict"},
		{&Error{Code: codes.DataLoss}, "incomplete"},
		{&Error{Code: codes.Unknown, Reason: "OUTCOME_UNKNOWN"}, "outcome unknown"},
		{errors.New("another one"), ""},
		{nil, ""},
	} {
		for name, is := range predicates {
			if got := is(test.err); got != (name == test.want) {
				t.Errorf("%v: %s is %t", test.err, name, got)
			}
		}
	}
}

func TestNew_UnderstandsAddresses(t *testing.T) {
	for _, test := range []struct {
		address, token, want string
		tls                  bool
		options              []Option
	}{
		{address: "", want: DefaultAddress},
		{address: "host", want: "host:23310"},
		{address: "host:1", want: "host:1"},
		{address: "[::1]", want: "[::1]:23310"},
		{address: "http://host/", want: "host:23310"},
		{address: "https://host:443/", want: "host:443", tls: true},
		{address: "host:1", token: "secret", want: "host:1", tls: true},
		{address: "127.0.0.1:1", token: "secret", want: "127.0.0.1:1"},
		{address: "localhost:1", token: "secret", want: "localhost:1"},
		{address: "unix:/run/x", token: "secret", want: "unix:/run/x"},
		{address: "host:1", token: "secret", options: []Option{WithPlaintext()}, want: "host:1"},
		{address: "localhost:1", options: []Option{WithTLS(&tls.Config{MinVersion: tls.VersionTLS13})}, want: "localhost:1", tls: true},
		{address: "ftp://host"},
		{address: "host/path:1"},
		{address: "::1"},
	} {
		t.Setenv("RUNICORN_GRPC_ADDRESS", test.address)
		t.Setenv("RUNICORN_GRPC_TOKEN", test.token)
		c, err := New("", test.options...)
		if (err != nil) != (test.want == "") {
			t.Errorf("%q: %v", test.address, err)
		}
		if err != nil {
			continue
		}
		if c.conn.target != test.want || c.conn.token != test.token {
			t.Errorf("%q: target %q, token %q", test.address, c.conn.target, c.conn.token)
		}
		if c.conn.secure != test.tls {
			t.Errorf("%q: TLS is %t", test.address, c.conn.secure)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestClient_NeedsNoServerUntilItIsCalled(t *testing.T) {
	t.Parallel()
	c, err := New("127.0.0.1:1", WithRetries(0)) // nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.ViewerService.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{})
	if !IsUnavailable(err) || !strings.HasPrefix(err.Error(), "127.0.0.1:1 does not answer (dial tcp") || !strings.HasSuffix(err.Error(), "is runicorn-grpc running there?") {
		t.Errorf("the error is %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.ViewerService.ListViewers(t.Context(), &runicornapiv1.ListViewersRequest{}); err == nil || err.Error() != "the client is closed" {
		t.Errorf("the error is %v", err)
	}
}

func TestClient_HasEveryServiceOfTheContract(t *testing.T) {
	t.Parallel()
	of, services := reflect.TypeFor[Client](), 0
	protoregistry.GlobalFiles.RangeFilesByPackage("runicornapi.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			field, ok := of.FieldByName(string(service.Name()))
			if services++; !ok {
				t.Errorf("Client lacks %s", service.Name())
				continue
			}
			for j := range service.Methods().Len() {
				if name := string(service.Methods().Get(j).Name()); !hasMethod(field.Type, name) {
					t.Errorf("%s lacks %s", service.Name(), name)
				}
			}
		}
		return true
	})
	if services == 0 {
		t.Error("the contract has no services")
	}
}

func hasMethod(of reflect.Type, name string) bool {
	_, ok := of.MethodByName(name)
	return ok
}
