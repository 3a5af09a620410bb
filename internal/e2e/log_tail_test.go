package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// TestStreams_OfRunsThatChange starts each Viewer once for all that follows.
func TestStreams_OfRunsThatChange(t *testing.T) {
	t.Parallel()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := newTrainLab(t, version)
			t.Run("a tail of a text log is the file", l.isTheLogFile)
			t.Run("a watch tells what happens to runs", l.watches)
			t.Run("a tail by filter follows runs that start later", l.followsLaterRuns)
			t.Run("a run that is deleted and restored", l.deletesAndRestores)
			t.Run("a run that is moved", l.moves)
			t.Run("a run that is opened again", l.opensAgain)
			t.Run("a run that grows although its Viewer calls it failed", l.growsWhileFailed)
			if version.HasPaths() { // 0.5.3 shows no log, only its merged table
				t.Run("a log that becomes another one", l.becomesAnother)
				t.Run("a progress bar is seen before its newline comes", l.showsAProgressBar)
				t.Run("a line that is too long does not end the tail of others", l.passesOverALine)
			} else { // whose text logs are sent over WebSockets
				t.Run("many tails of a text log are one reader to the Viewer", l.manyAreOne)
			}
			t.Run("half a line that the Viewer reads", l.tearsALine)
			t.Run("tokens of a text log resume exactly, while the Viewer is killed", l.resumesExactly)
		})
	}
}

// oddText is what programs write into logs besides lines.
const oddText = "\n  \nepoch 1: 10%\r 50%\r100%\nwindows\r\nnot \xff\xfe text \xc3\n[info] user\n[error] user\nемодзи 🦄\n"

// isTheLogFile follows a run from before its first line to its end, and reads it
// again when it has ended.
func (l *trainLab) isTheLogFile(t *testing.T) {
	run, log := l.open(t, "odd")
	live := &logTail{t: t}
	live.connect(l.servers[0], &runicornapiv1.TailLogsRequest{RunId: run.RunID})
	live.until(func() bool { return live.caught })
	l.log(t, "odd", "first")
	l.log(t, "odd", "two\nlines – ünï")
	appendTo(t, log, oddText)
	l.log(t, "odd", "after that")
	live.until(func() bool {
		return len(live.lines) > 0 && strings.Contains(live.lines[len(live.lines)-1].GetText(), "after that")
	})
	appendTo(t, log, "unterminated")
	l.finish(t, "odd", "finished")
	live.wantEnd(runicornapiv1.EndReason_END_REASON_FINISHED)
	live.wantLog(l.viewer.Version(), log)

	again := &logTail{t: t}
	again.connect(l.servers[1], &runicornapiv1.TailLogsRequest{RunId: run.RunID})
	again.wantEnd(runicornapiv1.EndReason_END_REASON_FINISHED)
	again.wantLog(l.viewer.Version(), log)

	last := int32(3)
	tail := &logTail{t: t}
	tail.connect(l.servers[1], &runicornapiv1.TailLogsRequest{RunId: run.RunID, LastLines: &last})
	tail.wantEnd(runicornapiv1.EndReason_END_REASON_FINISHED)
	if len(tail.lines) != 3 {
		t.Errorf("the last three lines are %v", tail.lines)
	}
	if text := tail.lines[len(tail.lines)-1].GetText(); text != "unterminated" { // from 0.6 on it counts at the end
		t.Errorf("the last line is %q", text)
	}
}

// showsAProgressBar follows a line that is written in parts, whose newline is late, over
// two connections.
func (l *trainLab) showsAProgressBar(t *testing.T) {
	run, log := l.open(t, "bar")
	c := &logTail{t: t}
	last := func(text string, isPartial bool) func() bool {
		return func() bool {
			n := len(c.lines)
			return n > 0 && c.lines[n-1].GetText() == text && c.lines[n-1].GetPartial() == isPartial
		}
	}
	appendTo(t, log, "before\nbar 10%")
	req := &runicornapiv1.TailLogsRequest{RunId: run.RunID, LastLines: new(int32(1))}
	c.connect(l.servers[0], req)
	c.until(last("bar 10%", true))
	if len(c.lines) != 1 {
		t.Errorf("the last line is %v", c.lines)
	}
	appendTo(t, log, "\rbar 50%\r")
	c.until(last("bar 10%\rbar 50%", true))
	c.cancel()
	appendTo(t, log, "bar 100%\nafter\n")
	c.connect(l.servers[1], req)
	c.until(last("after", false))
	l.finish(t, "bar", "finished")
	c.wantEnd(runicornapiv1.EndReason_END_REASON_FINISHED)
	if len(c.lines) != 2 || c.lines[0].GetText() != "bar 10%\rbar 50%\rbar 100%" {
		t.Errorf("the lines are %v", c.lines)
	}
}

// resumesExactly drops the connection after every few lines and continues with the
// token at the other server, while the Viewer is killed once.
func (l *trainLab) resumesExactly(t *testing.T) {
	const rounds = 12
	run, log := l.open(t, "resumed")
	c := &logTail{t: t}
	for n := range rounds {
		for i := range 3 {
			l.log(t, "resumed", fmt.Sprintf("round %d line %d", n, i))
		}
		if n == rounds/2 {
			if err := l.viewer.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := l.viewer.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		c.connect(l.servers[n%2], &runicornapiv1.TailLogsRequest{RunId: run.RunID})
		c.record(3*n + 1 + n%3)
		c.cancel()
	}
	c.connect(l.servers[0], &runicornapiv1.TailLogsRequest{RunId: run.RunID})
	l.finish(t, "resumed", "failed")
	c.wantEnd(runicornapiv1.EndReason_END_REASON_FAILED)
	c.wantLog(l.viewer.Version(), log)
	if c.resets > 0 {
		t.Errorf("%d resets", c.resets)
	}
}

// manyAreOne counts how often 0.5.3 has the log open: once for each WebSocket.
// Later releases have it open for as long as a read takes.
func (l *trainLab) manyAreOne(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc to count WebSockets in")
	}
	run, log := l.open(t, "many")
	l.log(t, "many", "first")
	var tails [50]*logTail
	for i := range tails {
		tails[i] = &logTail{t: t}
		tails[i].connect(l.servers[0], &runicornapiv1.TailLogsRequest{RunId: run.RunID})
	}
	all := func(n int) {
		var wait sync.WaitGroup
		for _, c := range tails {
			wait.Go(func() { c.record(n) })
		}
		wait.Wait()
	}
	all(1)
	l.log(t, "many", "second")
	all(2)
	if n := openFiles(t, l.viewer.PID(), log); n != 1 {
		t.Errorf("the Viewer has the log open %d times for 50 tails", n)
	}
	for _, c := range tails {
		c.wantLog(realviewer.V053, log)
	}
}

// openFiles counts the descriptors of a process for a file.
func openFiles(t *testing.T, pid int, path string) (n int) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if to, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil && to == path {
			n++
		}
	}
	return n
}
