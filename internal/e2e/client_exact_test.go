package e2e

import (
	"context"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultlab"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// userProgram follows a run by the Go client, without any handling of errors.
type userProgram struct {
	name   string
	follow func(ctx context.Context) error

	logged chan struct{} // one for each received line of the run
	ended  chan error
	counts int64
}

// TestGoClient_ReceivesEachPointOnce breaks everything, one thing after another, while
// programs follow a run, and compares what they got with the event file and the log.
func TestGoClient_ReceivesEachPointOnce(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := faultlab.New(t, &binary, version)
			l.Log(20)
			c, err := client.New(l.Relay.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			points := &tailer{runID: l.Run.RunID, isExact: version.HasPaths(), points: pointTexts{}, cells: map[position]cell{}}
			text := &logTail{t: t}
			programs := []*userProgram{followPoints(c, l.Run.RunID, points), followLog(c, l.Run.RunID, text)}
			for _, p := range programs {
				p.start(t)
			}
			for _, fault := range faultlab.Faults() {
				for _, p := range programs {
					p.await(t, l.Step) // each has all that was logged
				}
				fault.Do(l)
				l.Log(5)
				t.Logf("%s: %d lines are logged", fault.Name, l.Step)
			}
			l.Finish()
			for _, p := range programs {
				p.end(t)
			}
			text.wantLog(version, l.Run.Dir+"/logs.txt")
			if version.HasPaths() {
				points.wantLog(t, l.Run.EventFile)
			} else {
				points.wantTable(t, l.Seeded.URL())
			}
		})
	}
}

// heartbeat is what faultlab expects of clients.
var heartbeat = durationpb.New(time.Second)

func followPoints(c *client.Client, runID string, into *tailer) *userProgram {
	p := &userProgram{name: "points"}
	p.follow = func(ctx context.Context) error {
		request := &runicornapiv1.TailMetricsRequest{RunIds: []string{runID}, Positions: true, HeartbeatInterval: heartbeat}
		for event, err := range c.Tail(ctx, request) {
			if err != nil {
				return err
			}
			if err := into.record(event.TailMetricsResponse); err != nil {
				return err
			}
			for point := range event.Points() {
				if point.Metric == "count" {
					p.logged <- struct{}{}
				}
			}
		}
		return nil
	}
	return p
}

func followLog(c *client.Client, runID string, into *logTail) *userProgram {
	p := &userProgram{name: "log"}
	p.follow = func(ctx context.Context) error {
		for event, err := range c.TailLogs(ctx, &runicornapiv1.TailLogsRequest{RunId: runID, HeartbeatInterval: heartbeat}) {
			if err != nil {
				return err
			}
			into.take(event.TailLogsResponse)
			for _, line := range event.GetBatch().GetLines() {
				if !line.GetPartial() {
					p.logged <- struct{}{}
				}
			}
		}
		return nil
	}
	return p
}

// start runs the program until the run ends, or the test.
func (p *userProgram) start(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	p.logged, p.ended = make(chan struct{}, 1<<12), make(chan error, 1)
	done := make(chan struct{})
	go func() { // ends with the context
		defer close(done)
		p.ended <- p.follow(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// await waits for a number of logged lines.
func (p *userProgram) await(t *testing.T, lines int64) {
	t.Helper()
	for ; p.counts < lines; p.counts++ {
		select {
		case <-p.logged:
		case err := <-p.ended:
			t.Fatalf("%s ended after %d of %d lines: %v", p.name, p.counts, lines, err)
		}
	}
}

// end waits for the end of the program, which must be a good one.
func (p *userProgram) end(t *testing.T) {
	t.Helper()
	if err := <-p.ended; err != nil {
		t.Errorf("%s: %v", p.name, err)
	}
}
