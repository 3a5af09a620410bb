package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// trainLab is a real Viewer with a training process, and two servers with short intervals
// in front of it, for tests of changes of runs.
type trainLab struct {
	storage string
	viewer  *realviewer.Viewer
	trainer *realviewer.Trainer
	servers [2]*server
}

func newTrainLab(t *testing.T, version realviewer.Version) *trainLab {
	t.Helper()
	install := realviewer.Require(t, version)
	storage := t.TempDir()
	trainer, err := realviewer.StartTrainer(t.Context(), install, storage)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := trainer.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &trainLab{storage: storage, trainer: trainer, viewer: realviewer.MustStart(t, install, realviewer.Options{Storage: storage})}
	for i := range l.servers {
		l.servers[i] = mustStart(t, append([]string{"--viewer=lab=" + l.viewer.URL()}, quickTails...)...)
	}
	return l
}

// open starts a run that the Viewer lists, and returns it and its log.
func (l *trainLab) open(t *testing.T, key string) (run realviewer.Run, log string) {
	t.Helper()
	run, err := l.trainer.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.viewer.AwaitRuns(t.Context(), run.RunID); err != nil {
		t.Fatal(err)
	}
	return run, filepath.Join(run.Dir, "logs.txt")
}

func (l *trainLab) log(t *testing.T, key, text string) {
	t.Helper()
	if err := l.trainer.LogText(t.Context(), key, text); err != nil {
		t.Fatal(err)
	}
}

func (l *trainLab) finish(t *testing.T, key, status string) {
	t.Helper()
	if err := l.trainer.Finish(t.Context(), key, status); err != nil {
		t.Fatal(err)
	}
}

// appendTo writes to a log as another program would, in one piece.
func appendTo(t *testing.T, log, text string) {
	t.Helper()
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// logTail is a client that stores lines and token together.
type logTail struct {
	t      *testing.T
	stream grpc.ServerStreamingClient[runicornapiv1.TailLogsResponse]
	cancel context.CancelFunc
	token  string
	lines  []*runicornapiv1.LogLine
	last   *runicornapiv1.TailLogsResponse
	caught bool
	resets int
}

// connect begins, or resumes after the last token.
func (c *logTail) connect(s *server, req *runicornapiv1.TailLogsRequest) {
	c.t.Helper()
	if c.token != "" {
		req = &runicornapiv1.TailLogsRequest{RunId: req.GetRunId(), ResumeToken: c.token}
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	c.t.Cleanup(cancel)
	stream, err := s.experiments.TailLogs(ctx, req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.stream, c.cancel = stream, cancel
}

func (c *logTail) recv() error {
	m, err := c.stream.Recv()
	if err != nil {
		return err
	}
	c.take(m)
	return nil
}

// take stores the content of a message with its token.
func (c *logTail) take(m *runicornapiv1.TailLogsResponse) {
	c.token, c.last = m.GetResumeToken(), m
	for _, line := range m.GetBatch().GetLines() {
		if n := len(c.lines); n > 0 && c.lines[n-1].GetPartial() {
			if c.lines[n-1].GetOffset() != line.GetOffset() {
				c.t.Errorf("%v follows the partial line %v", line, c.lines[n-1])
			}
			c.lines = c.lines[:n-1]
		}
		c.lines = append(c.lines, line)
	}
	c.caught = c.caught || m.GetCaughtUp() != nil
	if m.GetLogReset() != nil {
		c.lines, c.caught = nil, false
		c.resets++
	}
}

func (c *logTail) until(isIt func() bool) {
	c.t.Helper()
	for !isIt() {
		if err := c.recv(); err != nil {
			c.t.Fatalf("after %d lines: %v", len(c.lines), err)
		}
	}
}

func (c *logTail) record(n int) {
	c.t.Helper()
	c.until(func() bool { return len(c.lines) >= n })
}

// wantEnd receives up to the end of the stream.
func (c *logTail) wantEnd(reason runicornapiv1.EndReason) {
	c.t.Helper()
	err := error(nil)
	for err == nil {
		err = c.recv()
	}
	if !errors.Is(err, io.EOF) || c.last.GetEnd().GetReason() != reason {
		c.t.Errorf("the stream ended by %v behind %v", err, c.last)
	}
}

// wantLog compares with the log on the Viewer's disk, as far as its generation
// can show it.
func (c *logTail) wantLog(version realviewer.Version, log string) {
	c.t.Helper()
	raw, err := os.ReadFile(log)
	if err != nil {
		c.t.Fatal(err)
	}
	var want, got []string
	if version.HasPaths() {
		offset := 0
		for line := range strings.Lines(string(raw)) {
			text := strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			valid := strings.ToValidUTF8(text, "\uFFFD")
			want = append(want, fmt.Sprintf("%d %t %s", offset, valid != text, valid))
			offset += len(line)
		}
	} else {
		text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.ToValidUTF8(string(raw), ""))
		want = slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	}
	for _, line := range c.lines {
		text := line.GetText()
		if version.HasPaths() {
			text = fmt.Sprintf("%d %t %s", line.GetOffset(), line.GetLossy(), text)
		}
		got = append(got, text)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("the log and its tail (-log +tail):\n%s", diff)
	}
}
