// Package apierrtest checks errors of the API in tests.
package apierrtest

import (
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// WantError checks the code and reason of an error and returns its ErrorInfo.
func WantError(tb testing.TB, err error, code codes.Code, reason string) *errdetails.ErrorInfo {
	tb.Helper()
	st, ok := status.FromError(err)
	if !ok || st.Code() != code {
		tb.Fatalf("got error %v, want code %v", err, code)
	}
	info, ok := DetailOf[*errdetails.ErrorInfo](st)
	if !ok {
		tb.Fatalf("status %v has no ErrorInfo", st)
	}
	if info.GetReason() != reason || info.GetDomain() != "runicorn-grpc" {
		tb.Fatalf("got reason %q of domain %q, want %q: %v", info.GetReason(), info.GetDomain(), reason, st)
	}
	return info
}

// DetailOf returns the first detail of type T.
func DetailOf[T any](st *status.Status) (T, bool) {
	for _, d := range st.Details() {
		if found, ok := d.(T); ok {
			return found, true
		}
	}
	var none T
	return none, false
}
