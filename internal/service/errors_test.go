package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// wantOfStatus is the error table by the Viewer's status, for a read of a run
// whose body has FastAPI's shape.
func wantOfStatus(s int) (codes.Code, string) {
	switch s {
	case 401, 407:
		return codes.Unauthenticated, "VIEWER_AUTH"
	case 403:
		return codes.PermissionDenied, "VIEWER_FORBIDDEN"
	case 404:
		return codes.NotFound, "RUN_NOT_FOUND"
	case 405, 501, 503: // a Viewer answers 503 for features that it was built without
		return codes.Unimplemented, "VIEWER_LACKS_CAPABILITY"
	case 408, 504:
		return codes.DeadlineExceeded, "VIEWER_TIMEOUT"
	case 409:
		return codes.FailedPrecondition, "STATE_CONFLICT"
	case 413:
		return codes.ResourceExhausted, "VIEWER_ANSWER_TOO_LARGE"
	case 429:
		return codes.ResourceExhausted, "VIEWER_RATE_LIMITED"
	case 502:
		return codes.Unavailable, "VIEWER_UNREACHABLE"
	}
	switch s / 100 {
	case 4:
		return codes.InvalidArgument, "VIEWER_REFUSED_REQUEST"
	case 5:
		return codes.Internal, "VIEWER_ERROR"
	}
	return codes.Internal, "VIEWER_MALFORMED_ANSWER"
}

func TestEveryStatusOfAViewerHasItsError(t *testing.T) {
	h, script := servicetest.NewScripted(t, servicetest.Setup{Register: register(nil)}, nil)
	for s := 100; s <= 599; s++ {
		if s == http.StatusOK {
			continue
		}
		script.Reply = servicetest.RespondWith(s, "application/json", `{"detail":"it is so"}`)
		_, err := h.Experiments.GetEnvironment(t.Context(), &runicornapiv1.GetEnvironmentRequest{RunId: servicetest.UnknownRun})
		code, reason := wantOfStatus(s)
		info := apierrtest.WantError(t, err, code, reason)
		if info.GetMetadata()["viewer"] != "v072" {
			t.Errorf("status %d: got metadata %v, want viewer v072", s, info.GetMetadata())
		}
	}
}

// failures are what a transport, a body or a caller may do.
var failures = []struct {
	name   string
	reply  func(*http.Request) (*http.Response, error)
	code   codes.Code
	reason string
	retry  time.Duration // minimum RetryInfo
}{
	{"the connection is refused", failWith(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), codes.Unavailable, "VIEWER_UNREACHABLE", time.Second},
	{"the connection is reset", failWith(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), codes.Unavailable, "VIEWER_UNREACHABLE", time.Second},
	{"the name does not resolve", failWith(&net.DNSError{Err: "no such host", Name: "viewer.invalid"}), codes.Unavailable, "VIEWER_UNREACHABLE", time.Second},
	{"the connection ends before the answer", failWith(io.EOF), codes.Unavailable, "VIEWER_UNREACHABLE", time.Second},
	{"a proxy says 503", servicetest.RespondWith(503, "text/html", "<h1>busy</h1>"), codes.Unavailable, "VIEWER_UNREACHABLE", time.Second},
	{"the Viewer limits its callers", limited, codes.ResourceExhausted, "VIEWER_RATE_LIMITED", 7 * time.Second},
	{"the Viewer is slower than our limit", neverRespond, codes.DeadlineExceeded, "VIEWER_TIMEOUT", 0},
	{"the answer is a web page", servicetest.RespondWith(200, "text/html", "<html>"), codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", 0},
	{"the route is missing", servicetest.RespondWith(404, "application/json", `{"detail":"Not Found"}`), codes.Unimplemented, "VIEWER_LACKS_CAPABILITY", 0},
	{"the answer is no JSON", servicetest.RespondWith(200, "text/plain", "hello"), codes.Internal, "VIEWER_MALFORMED_ANSWER", 0},
	{"the JSON is malformed", servicetest.RespondWith(200, "application/json", `{"available":tru}`), codes.Internal, "VIEWER_MALFORMED_ANSWER", 0},
	{"the JSON has another shape", servicetest.RespondWith(200, "application/json", `[1,2]`), codes.Internal, "VIEWER_MALFORMED_ANSWER", 0},
	{"the answer is over our limit", endless, codes.ResourceExhausted, "VIEWER_ANSWER_TOO_LARGE", 0},
	{"the answer is cut", cutOff, codes.DataLoss, "STREAM_CUT", 0},
	{"a 422 names its field", servicetest.RespondWith(422, "application/json", `{"detail":[{"type":"missing","loc":["body","run_ids",0],"msg":"Field required","input":"hunter2"}]}`), codes.InvalidArgument, "VIEWER_REFUSED_REQUEST", 0},
}

// failWith fails before an answer.
func failWith(err error) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// neverRespond never answers.
func neverRespond(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// limited is a 429 with a Retry-After.
func limited(req *http.Request) (*http.Response, error) {
	resp, err := servicetest.RespondWith(429, "application/json", `{"detail":"Rate limit exceeded","retry_after":7}`)(req)
	resp.Header.Set("Retry-After", "7")
	return resp, err
}

// cutOff is an answer that ends in its middle.
func cutOff(req *http.Request) (*http.Response, error) {
	resp, err := servicetest.RespondWith(200, "application/json", "")(req)
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"available":true`), errReader{}))
	return resp, err
}

// endless is an answer that does not end.
func endless(req *http.Request) (*http.Response, error) {
	resp, err := servicetest.RespondWith(200, "application/json", "")(req)
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"x":"`), spaces{}))
	return resp, err
}

type spaces struct{}

func (spaces) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

type errReader struct{}

// Read fails as a connection that was cut.
func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestEveryFailureHasItsError(t *testing.T) {
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, script := servicetest.NewScripted(t, servicetest.Setup{Register: register(nil)}, func(c *restclient.Config) {
				if tt.code == codes.DeadlineExceeded {
					c.LightTimeout = 200 * time.Millisecond
				}
			})
			script.Reply = tt.reply
			ctx := t.Context()
			if _, err := h.Viewers.GetViewer(ctx, &runicornapiv1.GetViewerRequest{}); err != nil {
				t.Fatalf("a failing Viewer is an answer of GetViewer, got %v", err)
			}
			_, err := h.Experiments.GetEnvironment(ctx, &runicornapiv1.GetEnvironmentRequest{RunId: servicetest.UnknownRun})
			apierrtest.WantError(t, err, tt.code, tt.reason)
			st := status.Convert(err)
			retry, has := apierrtest.DetailOf[*errdetails.RetryInfo](st)
			if has != (tt.retry > 0) || retry.GetRetryDelay().AsDuration() < tt.retry {
				t.Errorf("got RetryInfo %v, want at least %v", retry, tt.retry)
			}
			if strings.Contains(st.String(), "hunter2") {
				t.Error("the error repeats what was refused")
			}
			if bad, ok := apierrtest.DetailOf[*errdetails.BadRequest](st); ok && (len(bad.GetFieldViolations()) != 1 || bad.GetFieldViolations()[0].GetField() != "run_ids.0") {
				t.Errorf("got violations %v, want run_ids.0", bad)
			}
		})
	}
}

func TestTheCallersDeadlineAndCancellationAreReported(t *testing.T) {
	// Over a connection gRPC's client would see its own deadline first.
	passed, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	gone, leave := context.WithCancel(t.Context())
	leave()
	for _, tt := range []struct {
		name   string
		ctx    context.Context
		err    error
		code   codes.Code
		reason string
	}{
		{"its deadline", passed, &restclient.Error{Kind: restclient.KindCanceled, Err: context.DeadlineExceeded}, codes.DeadlineExceeded, "CALLER_DEADLINE"},
		{"it hung up", gone, &restclient.Error{Kind: restclient.KindCanceled, Err: context.Canceled}, codes.Canceled, "CALLER_CANCELLED"},
		{"its deadline, seen by ourselves", passed, passed.Err(), codes.DeadlineExceeded, "CALLER_DEADLINE"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apierrtest.WantError(t, errmap.APIError(tt.ctx, tt.err).GRPCStatus().Err(), tt.code, tt.reason)
		})
	}
}

func TestAChangeWhoseAnswerIsLostHasAnUnknownOutcome(t *testing.T) {
	h, script := servicetest.NewScripted(t, servicetest.Setup{Register: register(nil)}, nil)
	asked := 0
	for name, reply := range map[string]func(*http.Request) (*http.Response, error){
		"the connection is reset": failWith(syscall.ECONNRESET),
		"a proxy says 504":        servicetest.RespondWith(504, "text/html", ""),
	} {
		t.Run(name, func(t *testing.T) {
			asked = 0
			script.Reply = func(req *http.Request) (*http.Response, error) {
				asked++
				return reply(req)
			}
			_, err := h.Experiments.DeleteExperiments(t.Context(), &runicornapiv1.DeleteExperimentsRequest{RunIds: []string{servicetest.UnknownRun}})
			info := apierrtest.WantError(t, err, codes.Unknown, "OUTCOME_UNKNOWN")
			if info.GetMetadata()["check"] == "" || asked != 1 {
				t.Errorf("got metadata %v after %d requests, want what to check, and one request", info.GetMetadata(), asked)
			}
			if _, ok := apierrtest.DetailOf[*errdetails.RetryInfo](status.Convert(err)); ok {
				t.Error("an unknown outcome must not have RetryInfo")
			}
		})
	}
}

func TestAnUnknownMethodIsReported(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	err := h.Conn.Invoke(t.Context(), "/runicornapi.v1.ViewerService/Fly", &runicornapiv1.GetViewerRequest{}, &runicornapiv1.GetViewerResponse{})
	if status.Code(err) != codes.Unimplemented { // grpc-go itself answers, before any interceptor
		t.Errorf("got %v, want Unimplemented", err)
	}
	intercept := interceptor.UnaryErrors(slog.New(slog.DiscardHandler))
	_, err = intercept(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x/Y"}, func(ctx context.Context, _ any) (any, error) {
		return runicornapiv1.UnimplementedViewerServiceServer{}.GetGpu(ctx, nil)
	})
	apierrtest.WantError(t, err, codes.Unimplemented, "METHOD_NOT_SERVED")
}

func TestAnInternalErrorIsLoggedAndNotShown(t *testing.T) {
	var logged bytes.Buffer
	intercept := interceptor.UnaryErrors(slog.New(slog.NewTextHandler(&logged, nil)))
	_, err := intercept(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/x/Y"}, func(context.Context, any) (any, error) {
		return nil, errors.New("the secret place")
	})
	info := apierrtest.WantError(t, err, codes.Internal, "INTERNAL_ERROR")
	incident := info.GetMetadata()["incident"]
	if incident == "" || !strings.Contains(logged.String(), incident) || !strings.Contains(logged.String(), "the secret place") {
		t.Errorf("got incident %q and log %q", incident, &logged)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the error shows its cause: %v", err)
	}
}

func TestUnknownViewersAreNamed(t *testing.T) {
	h := newHarness(t, demotest.Gen05, demotest.Gen07)
	_, err := h.Experiments.ListExperiments(t.Context(), &runicornapiv1.ListExperimentsRequest{Viewer: "nobody"})
	info := apierrtest.WantError(t, err, codes.NotFound, "VIEWER_NOT_FOUND")
	if got := info.GetMetadata(); got["viewer"] != "nobody" || got["known"] != "v053,v072" {
		t.Errorf("got metadata %v, want the asked and the known names", got)
	}
}

func TestRefusedIDsReachNoViewer(t *testing.T) {
	h := newHarness(t, demotest.Gen07)
	for _, id := range []string{"..", "a/b", "a%2f..", "a\x00b", "a\r\nb", strings.Repeat("9", 900), "viewers/v072", "viewers/v072/experiments/../x"} {
		_, err := h.Experiments.GetExperiment(t.Context(), &runicornapiv1.GetExperimentRequest{RunId: id})
		apierrtest.WantError(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		bad, _ := apierrtest.DetailOf[*errdetails.BadRequest](status.Convert(err))
		if got := bad.GetFieldViolations(); len(got) != 1 || got[0].GetField() != "run_id" {
			t.Errorf("id %q: got violations %v, want run_id", id, got)
		}
	}
	if got := h.Upstreams[0].AllRequests(); len(got) > 0 {
		t.Errorf("the Viewer was asked: %v", got)
	}
}
