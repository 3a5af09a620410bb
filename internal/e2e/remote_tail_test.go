package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// tailSteps follow a growing run on the server while its sessions end in every way: sshd
// is killed, the remote Viewer is killed, and it is stopped. Each time the tail reports
// it, and resumes with only its token, on the other replica, in the session that is
// started next. At the end it equals the event file.
func (s *remoteStory) tailSteps() []remoteStep {
	ctx, cancel := context.WithTimeout(s.t.Context(), 3*time.Minute)
	s.t.Cleanup(cancel)
	var session *runicornapiv1.ViewerSession
	c := newRemoteTail(s.tailed.RunID, s.version.HasPaths())
	start := func(t *testing.T) (err error) {
		session, err = s.startViewer(ctx, s.startRequest(t, s.login()))
		return err
	}
	resume := func(srv *server, steps int) func(*testing.T) error {
		return func(*testing.T) error { return c.open(ctx, srv, &runicornapiv1.TailMetricsRequest{}, steps) }
	}
	rest := func(*testing.T) error { return c.rest() }
	grow := func(*testing.T) error { return s.log() }
	const unreachable = "Unavailable VIEWER_UNREACHABLE"
	return []remoteStep{
		{name: "a Viewer is started to be tailed", call: start},
		{name: "tail a run of the new Viewer through another replica", want: "OK", call: func(*testing.T) error {
			return c.open(ctx, s.b, &runicornapiv1.TailMetricsRequest{Viewer: session.GetViewer(), RunIds: []string{s.tailed.RunID}}, 20)
		}},
		{name: "live points of it", want: "OK", call: func(*testing.T) error { return errors.Join(s.log(), c.await(30)) }},

		{name: "sshd is killed under the tail", call: func(*testing.T) error { return s.sshd.Kill() }},
		{name: "sshd killed: the tail", want: unreachable, call: rest},
		{name: "no replica lists the Viewer", call: func(t *testing.T) error {
			return eventually(t, 2*time.Minute, func(ctx context.Context) error {
				for _, srv := range []*server{s.a, s.b} {
					if got, err := listedViewer(ctx, srv, session.GetViewer()); err != nil || got != nil {
						return fmt.Errorf("viewer %s is listed: %v, %w", session.GetViewer(), got, err)
					}
				}
				return nil
			})
		}},
		{name: "sshd killed: resume the tail by its token", want: unreachable, call: resume(s.a, 1000)},
		{name: "the run grows", call: grow},
		{name: "sshd is restarted, and another session", call: func(t *testing.T) error {
			if err := s.sshd.Restart(ctx); err != nil {
				return err
			}
			s.disconnect(t)
			return start(t)
		}},
		{name: "sshd is back, another session: resume the tail by its token", want: "OK", call: func(t *testing.T) error {
			err := resume(s.a, 40)(t)
			if c.viewer != session.GetViewer() {
				t.Errorf("the tail continues at %s, want %s", c.viewer, session.GetViewer())
			}
			return err
		}},

		{name: "kill the remote Viewer", want: "OK", call: func(*testing.T) error {
			pid := session.GetRemoteProcessId()
			if pid < 2 {
				return fmt.Errorf("the remote Viewer has the process id %d", pid)
			}
			return syscall.Kill(int(pid), syscall.SIGKILL)
		}},
		{name: "remote Viewer killed: heartbeats of the tail say so", want: "OK", call: func(*testing.T) error { return c.awaitTrouble() }},
		{name: "stop a Viewer whose process was killed", want: "OK", call: func(*testing.T) error { return s.stopViewer(ctx, s.b, session) }},
		{name: "Viewer stopped by another replica: the tail", want: unreachable, call: rest},

		{name: "the run grows again", call: grow},
		{name: "a Viewer is started again", call: start},
		{name: "Viewer started again: resume the tail by its token", want: "OK", call: resume(s.b, 50)},
		{name: "the run ends: the tail", want: "OK", call: func(*testing.T) error {
			if err := errors.Join(s.log(), c.await(60), s.finish()); err != nil {
				return err
			}
			return c.rest()
		}},
		{name: "the tail has what the event file has", want: "OK", call: func(t *testing.T) error {
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
			return nil
		}},
	}
}

// remoteTail is a tail that continues in other sessions by nothing but its token.
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

// open begins, or continues, and receives until there are so many steps.
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

// awaitTrouble receives until a heartbeat reports that the Viewer does not answer.
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
