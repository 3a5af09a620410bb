package e2e

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// wantReason checks the code and the machine-readable reason of an error.
func wantReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Errorf("code %v (%s), want %v", st.Code(), st.Message(), code)
	}
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			if info.GetReason() != reason || info.GetDomain() != "runicorn-grpc" {
				t.Errorf("reason %s of %s, want %s", info.GetReason(), info.GetDomain(), reason)
			}
			return
		}
	}
	t.Errorf("no ErrorInfo in %v", st)
}
