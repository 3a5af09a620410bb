package apierr

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// TestGRPCStatus_FitsIntoATrailer: one that is too large for a header ends the
// connection it is sent over, and with it the calls of others.
func TestGRPCStatus_FitsIntoATrailer(t *testing.T) {
	long := strings.Repeat("é", 100_000)
	violations := make([]*errdetails.BadRequest_FieldViolation, 130_000)
	for i := range violations {
		violations[i] = &errdetails.BadRequest_FieldViolation{Field: long[:200], Description: "must not be empty"}
	}
	for name, e := range map[string]*Error{
		"a message":         {Message: long},
		"metadata":          {Metadata: map[string]string{"viewer": long, "run_id": long, "a": long, "b": long}},
		"a resource":        {Details: []proto.Message{&errdetails.ResourceInfo{ResourceName: long, Owner: long, Description: long}}},
		"violations":        InvalidFields(violations...),
		"a long field":      Invalid(long, "must be %s", long),
		"many details":      {Message: long, Details: []proto.Message{&errdetails.Help{Links: make([]*errdetails.Help_Link, 5000)}, &errdetails.DebugInfo{StackEntries: strings.Split(long, "é")}}},
		"all of a host key": {Details: []proto.Message{&runicornapiv1.HostKey{Host: long, PublicKey: long, FingerprintSha256: long}}},
	} {
		e.Code = codes.Internal
		st := e.GRPCStatus()
		if size := proto.Size(st.Proto()); size > 4<<10 {
			t.Errorf("%s: %d bytes", name, size)
		}
		if !utf8.ValidString(st.Message()) {
			t.Errorf("%s: the message is cut within a rune", name)
		}
		if len(st.Details()) == 0 {
			t.Errorf("%s: no ErrorInfo", name)
		}
	}
}

func TestGRPCStatus_KeepsOrdinaryErrors(t *testing.T) {
	key := "ssh-rsa " + strings.Repeat("A", 716)
	st := (&Error{Code: codes.NotFound, Message: "no", Details: []proto.Message{&runicornapiv1.HostKey{Host: "gpu", PublicKey: key}}}).GRPCStatus()
	if got, ok := st.Details()[1].(*runicornapiv1.HostKey); !ok || got.GetPublicKey() != key {
		t.Errorf("got %v", st.Details())
	}
}
