package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// tailThroughSessions follows a run on the server that keeps growing while its
// sessions end in every way: sshd is killed, the remote Viewer is, and it is
// stopped. Each time the tail says so, and goes on by its token alone, on the
// other replica, in the session that is started next. At the end it has what the
// event file has.
func (s *remoteStory) tailThroughSessions(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	session := s.startSession(ctx, t)
	c := newRemoteTail(s.tailed.RunID, s.version.HasPaths())
	s.want(t, "tail a run of the new Viewer through another replica", "OK", func() error {
		return c.open(ctx, s.b, &runicornapiv1.TailMetricsRequest{Viewer: session.GetViewer(), RunIds: []string{s.tailed.RunID}}, 20)
	})
	s.want(t, "live points of it", "OK", func() error { return errors.Join(s.log(), c.await(30)) })

	if err := s.sshd.Kill(); err != nil {
		t.Fatal(err)
	}
	s.want(t, "sshd killed: the tail", "Unavailable VIEWER_UNREACHABLE", c.rest)
	for _, srv := range []*server{s.a, s.b} {
		s.wantListed(ctx, t, srv, session.GetViewer(), false)
	}
	s.want(t, "sshd killed: resume the tail by its token", "Unavailable VIEWER_UNREACHABLE", func() error {
		return c.open(ctx, s.a, &runicornapiv1.TailMetricsRequest{}, 1000)
	})
	if err := errors.Join(s.log(), s.sshd.Restart(ctx)); err != nil {
		t.Fatal(err)
	}
	s.disconnect(t)
	session = s.startSession(ctx, t)
	s.want(t, "sshd is back, another session: resume the tail by its token", "OK", func() error {
		return c.open(ctx, s.a, &runicornapiv1.TailMetricsRequest{}, 40)
	})
	if c.viewer != session.GetViewer() {
		t.Errorf("the tail goes on at %s, want %s", c.viewer, session.GetViewer())
	}

	if pid := session.GetRemoteProcessId(); pid < 2 || syscall.Kill(int(pid), syscall.SIGKILL) != nil {
		t.Errorf("the remote Viewer has the process id %d", pid)
	}
	s.want(t, "remote Viewer killed: heartbeats of the tail say so", "OK", c.awaitTrouble)
	s.want(t, "stop a Viewer whose process was killed", "OK", func() error {
		_, err := s.b.remote.StopViewer(ctx, &runicornapiv1.StopViewerRequest{Viewer: s.name, SessionId: session.GetSessionId()})
		return err
	})
	s.want(t, "Viewer stopped by another replica: the tail", "Unavailable VIEWER_UNREACHABLE", c.rest)

	if err := s.log(); err != nil {
		t.Fatal(err)
	}
	session = s.startSession(ctx, t)
	s.want(t, "Viewer started again: resume the tail by its token", "OK", func() error {
		return c.open(ctx, s.b, &runicornapiv1.TailMetricsRequest{}, 50)
	})
	s.want(t, "the run ends: the tail", "OK", func() error {
		if err := errors.Join(s.log(), c.await(60), s.finish()); err != nil {
			return err
		}
		return c.rest()
	})
	if c.end != "END_REASON_FINISHED" {
		t.Errorf("the end is %q", c.end)
	}
	if c.delivered != 60 {
		t.Errorf("%d points of 60 were delivered", c.delivered)
	}
	if c.log != nil {
		c.log.wantLog(t, s.tailed.EventFile)
	}
	c.wantTable(t, session.GetUrl())
	s.drainAnother(ctx, t, session)
	s.disconnect(t)
}

// startSession connects and starts a Viewer.
func (s *remoteStory) startSession(ctx context.Context, t *testing.T) *runicornapiv1.ViewerSession {
	t.Helper()
	req := s.startRequest(t)
	req.Target = s.login()
	answer, err := s.a.remote.StartViewer(ctx, req)
	if err != nil {
		t.Fatalf("start a Viewer: %v", err)
	}
	return answer.GetSession()
}

// finish gives the tailed run its end.
func (l *remoteLab) finish() error {
	text := fmt.Sprintf(`{"status": "finished", "started_at": 1, "ended_at": %d}`, time.Now().Unix())
	return os.WriteFile(filepath.Join(l.tailed.Dir, "status.json"), []byte(text), 0o644)
}

// wantListed waits until a viewer is listed, or is not.
func (s *remoteStory) wantListed(ctx context.Context, t *testing.T, srv *server, viewer string, want bool) {
	t.Helper()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		answer, err := srv.viewers.ListViewers(ctx, &runicornapiv1.ListViewersRequest{})
		if err != nil {
			t.Fatalf("list viewers: %v", err)
		}
		got := false
		for _, v := range answer.GetViewers() {
			got = got || v.GetViewer() == viewer
		}
		if got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("viewer %s is listed: %t, want %t", viewer, got, want)
		}
	}
}

// remoteTail is a tail that goes on in other sessions by nothing but its token.
type remoteTail struct {
	*tailer           // the last value of each cell
	log       *tailer // every point; nil where they have no positions
	delivered int     // points
	stream    grpc.ServerStreamingClient[runicornapiv1.TailMetricsResponse]
	viewer    string // of the last message about the run
}

func newRemoteTail(runID string, isExact bool) *remoteTail {
	c := &remoteTail{tailer: &tailer{runID: runID, cells: map[position]cell{}}}
	if isExact {
		c.log = &tailer{runID: runID, isExact: true, points: pointTexts{}}
	}
	return c
}

// open begins, or goes on, and receives until there are so many steps.
func (c *remoteTail) open(ctx context.Context, s *server, req *runicornapiv1.TailMetricsRequest, steps int) (err error) {
	req.ResumeToken, req.Positions, req.HeartbeatInterval = c.token, true, durationpb.New(time.Second)
	if c.stream, err = s.metrics.TailMetrics(ctx, req); err != nil {
		return err
	}
	return c.await(steps)
}

// await receives until there are so many steps.
func (c *remoteTail) await(steps int) error {
	for len(c.cells) < steps {
		if _, err := c.recv(); err != nil {
			return err
		}
	}
	return nil
}

// awaitTrouble receives until a heartbeat says that the Viewer does not answer.
func (c *remoteTail) awaitTrouble() error {
	for {
		m, err := c.recv()
		if err != nil || m.GetHeartbeat().GetUpstreamState() == runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING {
			return err
		}
	}
}

// rest receives to the end.
func (c *remoteTail) rest() error {
	for {
		if _, err := c.recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func (c *remoteTail) recv() (*runicornapiv1.TailMetricsResponse, error) {
	m, err := c.stream.Recv()
	if err != nil {
		return nil, err
	}
	if m.GetViewer() != "" {
		c.viewer = m.GetViewer()
	}
	for _, series := range m.GetBatch().GetSeries() {
		c.delivered += len(series.GetSteps())
	}
	if c.log != nil {
		err = c.log.record(m)
	}
	return m, errors.Join(err, c.record(m))
}
