package apierr

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

func TestGRPCStatus_AcceptsAnyBytes(t *testing.T) {
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

func TestRetryInfo_IsAtLeastOneSecond(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{0: time.Second, time.Minute: time.Minute} {
		if info, ok := RetryInfo(wait).(*errdetails.RetryInfo); !ok || info.GetRetryDelay().AsDuration() != want {
			t.Errorf("%v: got %v, want %v", wait, info, want)
		}
	}
}

func TestInternal_HasAnIncidentAndHidesItsCause(t *testing.T) {
	cause := errors.New("the secret cause")
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

func TestGRPCStatus_IsBounded(t *testing.T) {
	long := strings.Repeat("\xffü", 1<<20)
	many := make([]*errdetails.BadRequest_FieldViolation, 130_000)
	for i := range many {
		many[i] = &errdetails.BadRequest_FieldViolation{Field: long, Description: long, Reason: "r"}
	}
	metadata := map[string]string{}
	for i := range 1000 {
		metadata[fmt.Sprint("key", i)] = long
	}
	for name, e := range map[string]*Error{
		"violations":       InvalidFields(many...),
		"one violation":    Invalid(long, "%s", long),
		"a message":        {Code: codes.NotFound, Message: long},
		"metadata":         {Code: codes.NotFound, Metadata: metadata},
		"details":          {Code: codes.NotFound, Details: []proto.Message{&errdetails.DebugInfo{Detail: strings.ToValidUTF8(long, "")}, RetryInfo(0)}},
		"a library status": {Code: codes.NotFound, Message: "x", Details: []proto.Message{&errdetails.DebugInfo{Detail: "y"}}},
	} {
		st := e.GRPCStatus()
		if size := proto.Size(st.Proto()); size > 3<<10 || len(st.Details()) == 0 || !utf8.ValidString(st.Message()) {
			t.Errorf("%s: %d bytes, %d details", name, size, len(st.Details()))
		}
	}
	if got := Bounded(status.New(codes.Internal, strings.Repeat("x", 1<<20))); proto.Size(got.Proto()) > 3<<10 || got.Code() != codes.Internal {
		t.Errorf("got %d bytes", proto.Size(got.Proto()))
	}
	few, ok := InvalidFields(many[:9]...).Details[0].(*errdetails.BadRequest)
	if !ok || len(few.GetFieldViolations()) == 0 || len(few.GetFieldViolations()) > 8 {
		t.Errorf("got %d violations", len(few.GetFieldViolations()))
	}
}
