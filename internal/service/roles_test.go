package service

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr/apierrtest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

func TestTokensAndRoles(t *testing.T) {
	auth := &interceptor.Authorizer{}
	auth.SetTokens([]interceptor.Token{{Role: interceptor.RoleRead, Token: "reader"}, {Role: interceptor.RoleWrite, Token: "writer"}, {Role: interceptor.RoleAdmin, Token: "boss"}})
	h := newHarnessWith(t, setup{auth: auth}, demotest.Gen07)
	const missing = "20200101_000000_abcdef"
	list := func(authorization string) error {
		_, err := h.Experiments.ListExperiments(
			metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization), &runicornapiv1.ListExperimentsRequest{})
		return err
	}
	purge := func(authorization string) error {
		_, err := h.Experiments.PurgeExperiments(
			metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization),
			&runicornapiv1.PurgeExperimentsRequest{RunIds: []string{missing}, ValidateOnly: true})
		return err
	}
	for _, tt := range []struct {
		name   string
		err    error
		code   codes.Code
		reason string
	}{
		{"no token", list(""), codes.Unauthenticated, "TOKEN_INVALID"},
		{"a wrong token", list("Bearer guess"), codes.Unauthenticated, "TOKEN_INVALID"},
		{"a token of another scheme", list("Basic reader"), codes.Unauthenticated, "TOKEN_INVALID"},
		{"read is enough to list", list("bearer reader"), codes.OK, ""},
		{"admin includes read", list("Bearer boss"), codes.OK, ""},
		{"write is not enough to purge", purge("Bearer writer"), codes.PermissionDenied, "ROLE_REQUIRED"},
		{"admin may purge", purge("Bearer boss"), codes.OK, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.code == codes.OK {
				if tt.err != nil {
					t.Errorf("got error %v, want none", tt.err)
				}
				return
			}
			info := apierrtest.WantError(t, tt.err, tt.code, tt.reason)
			if tt.code == codes.PermissionDenied && info.GetMetadata()["role"] != "admin" {
				t.Errorf("got metadata %v, want role admin", info.GetMetadata())
			}
		})
	}
	if strings.Contains(list("Bearer guess").Error(), "guess") {
		t.Error("the error repeats the token")
	}
}
