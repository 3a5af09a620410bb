package e2e

import (
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// useTheAgent logs in with nothing but the keys of the Viewer's agent.
func (s *remoteStory) useTheAgent(t *testing.T) {
	ctx, target := t.Context(), s.target()
	target.UseAgent = nil // which is true
	if err := s.agent.Clear(ctx); err != nil {
		t.Fatal(err)
	}
	s.wantConnect(t, "connect, agent without a key", "Unauthenticated SSH_AUTH_FAILED", target)
	if err := s.agent.Add(ctx, s.sshd.Key); err != nil {
		t.Fatal(err)
	}
	s.wantConnect(t, "connect, agent", "OK", target)
	s.wantConnect(t, "connect, agent has the key, but may not be used", "Unauthenticated SSH_AUTH_FAILED", s.target())
	// The library that makes the tunnel where there is no ssh program does not
	// know the agent.
	tunnel := either(s.version != realviewer.V053 && !s.ssh, "FailedPrecondition REMOTE_VIEWER_FAILED", "OK")
	s.want(t, "start a Viewer, agent", tunnel, func() error {
		req := s.startRequest(t)
		req.Target = target
		answer, err := s.a.remote.StartViewer(ctx, req)
		if err != nil {
			return err
		}
		_, err = s.b.experiments.ListExperiments(ctx, &runicornapiv1.ListExperimentsRequest{Viewer: answer.GetSession().GetViewer()})
		return err
	})
	s.disconnect(t)
	if err := s.prepareAgent(ctx); err != nil {
		t.Fatal(err)
	}
}
