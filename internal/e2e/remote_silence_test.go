package e2e

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// waitForSilence connects to a server that never speaks. Meanwhile the Viewer is
// busy and not down, gets no second call over SSH, and delays no other Viewer.
func (s *remoteStory) waitForSilence(t *testing.T) {
	silent := listenInSilence(t)
	target := s.login()
	target.Port = new(portOf(t, "http://"+silent.Addr().String()))
	waiting, over := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		select {
		case <-silent.called:
			s.askMeanwhile(waiting, t, target)
		case <-waiting.Done():
			t.Error("the Viewer did not call the server")
		}
	})
	s.want(t, "server accepts, but never speaks", "DeadlineExceeded SSH_TIMEOUT", func() error {
		defer over()
		_, err := s.connect(t, target)
		return err
	})
	asking.Wait()
	if n := silent.calls.Load(); n != 1 {
		t.Errorf("the server was called %d times, want once", n)
	}
}

// askMeanwhile asks while the Viewer waits for the silent server.
func (s *remoteStory) askMeanwhile(waiting context.Context, t *testing.T, target *runicornapiv1.SshTarget) {
	got, err := s.a.viewers.GetViewer(waiting, &runicornapiv1.GetViewerRequest{Viewer: s.name})
	if state := got.GetViewer().GetHealth().GetState(); err != nil || state != runicornapiv1.ViewerState_VIEWER_STATE_BUSY {
		t.Errorf("health during a slow call over SSH: %v, %v, want BUSY", state, err)
	}
	s.want(t, "read of another Viewer meanwhile", "OK", func() error {
		_, err := s.a.experiments.ListExperiments(waiting, &runicornapiv1.ListExperimentsRequest{Viewer: otherViewer})
		return err
	})
	s.want(t, "second call over SSH meanwhile, with a deadline of a second", "DeadlineExceeded without a reason or DeadlineExceeded CALLER_DEADLINE", func() error {
		ctx, cancel := context.WithTimeout(waiting, time.Second)
		defer cancel()
		_, err := s.a.remote.OpenConnection(ctx, &runicornapiv1.OpenConnectionRequest{Viewer: s.name, Target: target})
		return err
	})
	if waiting.Err() != nil {
		t.Error("the slow call was over before the others")
	}
}

// silence is a server that accepts connections and says nothing.
type silence struct {
	net.Listener
	called chan struct{} // closed by the first connection
	calls  atomic.Int64
}

func listenInSilence(t *testing.T) *silence {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silence{Listener: listener, called: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(s.accept)
	t.Cleanup(func() {
		_ = listener.Close() // its only error is that it is closed
		serving.Wait()
	})
	return s
}

func (s *silence) accept() {
	for {
		conn, err := s.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if s.calls.Add(1) == 1 {
			close(s.called)
		}
	}
}
