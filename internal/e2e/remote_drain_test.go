package e2e

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// drainAnother has a third server start a Viewer and end: what it has started
// ends with it, and what another one has stays.
func (s *remoteStory) drainAnother(ctx context.Context, t *testing.T, stays *runicornapiv1.ViewerSession) {
	drained, err := startServer(ctx, "--stop-remote-on-drain", fmt.Sprintf("--viewer=%s=%s", s.name, s.viewer.URL()))
	if err != nil {
		t.Fatal(err)
	}
	req := s.startRequest(t)
	req.ConnectionId = s.id()
	answer, err := drained.remote.StartViewer(ctx, req)
	if err := errors.Join(err, drained.stop()); err != nil {
		t.Fatalf("start a Viewer and end: %v\n%s", err, drained.output())
	}
	s.want(t, "the server that started it drains: get the session", "NotFound SESSION_NOT_FOUND", func() error {
		return s.getSession(ctx, answer.GetSession())
	})
	s.want(t, "another server drains: get the session", "OK", func() error { return s.getSession(ctx, stays) })
	awaitNoProcess(ctx, t, int(answer.GetSession().GetRemoteProcessId()))
}

func (s *remoteStory) getSession(ctx context.Context, session *runicornapiv1.ViewerSession) error {
	_, err := s.a.remote.GetViewerSession(ctx, &runicornapiv1.GetViewerSessionRequest{Viewer: s.name, SessionId: session.GetSessionId()})
	return err
}

// awaitNoProcess waits for the end of a process of this machine.
func awaitNoProcess(ctx context.Context, t *testing.T, pid int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for pid > 1 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("the remote Viewer's process %d lives on", pid)
			return
		}
	}
	if pid <= 1 {
		t.Errorf("the remote Viewer has the process id %d", pid)
	}
}
