package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// countLogins logs in with a wrong password by every call that can, over gRPC
// and over HTTP: each is one attempt in the log of sshd.
func (s *remoteStory) countLogins(t *testing.T) {
	ctx, wrong := t.Context(), s.target()
	wrong.Password = wrongPassword
	start := func(environment string) error {
		_, err := s.a.remote.StartViewer(ctx, &runicornapiv1.StartViewerRequest{
			Viewer: s.name, Target: wrong, RemoteRoot: s.root, CondaEnv: environment,
		})
		return err
	}
	for _, login := range []struct {
		name string
		call func() error
	}{
		{"wrong password", func() error { _, err := s.connect(t, wrong); return err }},
		{"wrong password, start a Viewer", func() error { return start("") }},
		{"wrong password, start a Viewer in an environment", func() error { return start("system") }},
	} {
		s.wantOneAttempt(t, login.name, func() { s.want(t, login.name, "Unauthenticated SSH_AUTH_FAILED", login.call) })
	}
	s.wantOneAttempt(t, "over HTTP", func() {
		body := fmt.Sprintf(`{"viewer": %q, "target": {"host": "127.0.0.1", "port": %d, "username": %q, "password": %q, "use_agent": false}}`,
			s.name, s.sshd.Port, s.sshd.User, wrongPassword)
		answer := visit(t, http.MethodPost, "http://"+s.a.httpAddr+"/v1/remote/connections", body)
		if s.out.recvMessage(answer); !strings.Contains(answer, "SSH_AUTH_FAILED") {
			t.Errorf("answered %s", answer)
		}
	})
}

// wantOneAttempt counts what sshd has logged of a call.
func (s *remoteStory) wantOneAttempt(t *testing.T, name string, call func()) {
	t.Helper()
	before := s.sshd.RefusedPasswords()
	call()
	if n := s.sshd.RefusedPasswords() - before; n != 1 {
		t.Errorf("%s: %d login attempts, want one", name, n)
	}
}
