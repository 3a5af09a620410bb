package e2e

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// silenceSteps connect to a server that never speaks. Meanwhile the Viewer is
// busy and not down, gets no second call over SSH, and delays no other Viewer.
func (s *remoteStory) silenceSteps() []remoteStep {
	silent, calls := listenInSilence(s.t)
	target, returned := s.login(), make(chan error, 1)
	target.Port = new(portOf(s.t, "tcp://"+silent))
	return []remoteStep{
		{name: "the Viewer connects to a silent server", call: func(t *testing.T) error {
			go func() {
				_, err := s.connect(s.t.Context(), target)
				returned <- err
			}()
			select {
			case <-calls:
			case err := <-returned:
				t.Fatalf("the Viewer did not call the server: %v", err)
			}
			return nil
		}},
		{name: "health of the Viewer meanwhile", want: "OK", call: func(t *testing.T) error {
			got, err := s.a.viewers.GetViewer(t.Context(), &runicornapiv1.GetViewerRequest{Viewer: s.name})
			if state := got.GetViewer().GetHealth().GetState(); state != runicornapiv1.ViewerState_VIEWER_STATE_BUSY {
				t.Errorf("health during a slow call over SSH: %v, want BUSY", state)
			}
			return err
		}},
		{name: "read of another Viewer meanwhile", want: "OK", call: func(t *testing.T) error {
			_, err := listExperiments(t.Context(), s.a, otherViewer)
			return err
		}},
		{
			name: "second call over SSH meanwhile, with a deadline of a second",
			want: "DeadlineExceeded without a reason or DeadlineExceeded CALLER_DEADLINE",
			call: func(t *testing.T) error {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := s.connect(ctx, target)
				return err
			},
		},
		{name: "server accepts, but never speaks", want: "DeadlineExceeded SSH_TIMEOUT", call: func(t *testing.T) error {
			if len(returned) > 0 {
				t.Error("the slow call was over before the others")
			}
			err := <-returned
			if n := len(calls); n > 0 {
				t.Errorf("the server was called %d times more, want once", n)
			}
			return err
		}},
	}
}

// listenInSilence starts a server that accepts connections and sends nothing. It returns
// the address and a channel that receives each connection.
func listenInSilence(t *testing.T) (addr string, calls chan struct{}) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", loopback+":0")
	if err != nil {
		t.Fatal(err)
	}
	calls = make(chan struct{}, 10)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
			calls <- struct{}{}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // its only error is that it is closed
		serving.Wait()
	})
	return listener.Addr().String(), calls
}
