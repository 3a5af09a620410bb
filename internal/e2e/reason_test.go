package e2e

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// wantReason checks the code and the machine-readable reason of an error.
func wantReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	st := status.Convert(err)
	if st.Code() != code {
		t.Errorf("code %v (%s), want %v", st.Code(), st.Message(), code)
	}
	info := detailOf[*errdetails.ErrorInfo](err)
	if info == nil {
		t.Errorf("no ErrorInfo in %v", st)
	} else if info.GetReason() != reason || info.GetDomain() != "runicorn-grpc" {
		t.Errorf("reason %s of %s, want %s", info.GetReason(), info.GetDomain(), reason)
	}
}

// reasonOf is the reason in an error's details.
func reasonOf(err error) string {
	if info := detailOf[*errdetails.ErrorInfo](err); info != nil {
		return info.GetReason()
	}
	return "without a reason"
}

// hostKeyOf is the host key in an error's details.
func hostKeyOf(err error) *runicornapiv1.HostKey { return detailOf[*runicornapiv1.HostKey](err) }

// detailOf is the first detail of a type.
func detailOf[T any](err error) (none T) {
	for _, d := range status.Convert(err).Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	return none
}
