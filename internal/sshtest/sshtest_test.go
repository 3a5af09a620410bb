package sshtest

import (
	"context"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"testing"
)

// login runs a command over the real ssh program.
func login(ctx context.Context, s *Server, port int, key string, command string) (string, error) {
	out, err := exec.CommandContext(ctx, "ssh", "-F", "none", "-i", key, "-p", strconv.Itoa(port), "-o", "BatchMode=yes",
		"-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR",
		s.User+"@127.0.0.1", command).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestServer_AcceptsItsKeyAndRestarts(t *testing.T) {
	Require(t)
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := user.Lookup(s.User); s.Password != "" && err == nil {
			t.Errorf("the account %s is still there", s.User)
		}
	})
	for _, tt := range []struct {
		name string
		port int
		key  string
		ok   bool
	}{
		{"the user's key", s.Port, s.Key, true},
		{"the user's key at the other port", s.BarePort, s.Key, true},
		{"nobody's key", s.Port, s.ForeignKey, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, err := login(t.Context(), s, tt.port, tt.key, "id -un")
			if tt.ok != (err == nil) || (tt.ok && out != s.User) {
				t.Errorf("got %q, %v\n%s", out, err, s.Log())
			}
		})
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if out, err := login(t.Context(), s, s.Port, s.Key, "true"); err == nil {
		t.Errorf("it answers after its end: %q", out)
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out, err := login(t.Context(), s, s.Port, s.Key, "true"); err != nil {
		t.Errorf("after the restart: %q, %v", out, err)
	}
}
