package apierr

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestAnErrorOfAnyBytesIsAStatusWithErrorInfo(t *testing.T) {
	e := &Error{
		Code: codes.NotFound, Reason: runicornapiv1.ErrorReason_ERROR_REASON_RUN_NOT_FOUND, Message: "no \xff",
		Metadata: map[string]string{"viewer": "lab\xff", "empty": ""},
	}
	st := e.GRPCStatus()
	if st.Code() != codes.NotFound || st.Message() != "no \uFFFD" || len(st.Details()) != 1 {
		t.Fatalf("got %v", st)
	}
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	if !ok || info.GetReason() != "RUN_NOT_FOUND" || info.GetDomain() != Domain ||
		len(info.GetMetadata()) != 1 || info.GetMetadata()["viewer"] != "lab\uFFFD" {
		t.Errorf("got %v", info)
	}
}

func TestRetryInfoIsASecondAtLeast(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{0: time.Second, time.Minute: time.Minute} {
		if info, ok := RetryInfo(wait).(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != want {
			t.Errorf("%v: got %v, want %v", wait, info, want)
		}
	}
}

func TestAnInternalErrorHasAnIncidentAndHidesItsCause(t *testing.T) {
	cause := errors.New("the secret place")
	a, b := Internal(cause), Internal(cause)
	if a.Incident() == "" || a.Incident() == b.Incident() {
		t.Errorf("incidents %q and %q", a.Incident(), b.Incident())
	}
	if !errors.Is(a, cause) {
		t.Error("the cause is lost")
	}
	if st := status.Convert(a.GRPCStatus().Err()); st.Message() != "an internal error of this server; its log has incident "+a.Incident() {
		t.Errorf("got %v", st)
	}
}
