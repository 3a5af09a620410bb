package pythonclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// twoHeartbeats is more than twice the heartbeat of exact.py.
const twoHeartbeats = 2500 * time.Millisecond

// lab is a Viewer, a proxy before it, a server, and a relay before that: all
// that can break between a program and a run.
type lab struct {
	t      *testing.T
	seeded *realviewer.Seeded
	proxy  *faultproxy.Proxy
	relay  *relay
	server *serverproc.Process
	run    realviewer.Run
	step   int64
}

func newLab(t *testing.T, version realviewer.Version) *lab {
	t.Helper()
	seeded, err := realviewer.StartSeeded(t.Context(), realviewer.Require(t, version), nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, seeded: seeded, run: seeded.Manifest.Runs[realviewer.KeyHeld]}
	t.Cleanup(func() {
		if err := seeded.Close(); err != nil {
			t.Errorf("close the Viewer: %v", err)
		}
	})
	if l.proxy, err = faultproxy.New(seeded.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.proxy.Close(); err != nil {
			t.Errorf("close the proxy: %v", err)
		}
	})
	l.relay = newRelay(t)
	l.startServer()
	t.Cleanup(func() {
		if err := l.server.Stop(); err != nil {
			t.Errorf("stop the server: %v\n%s", err, l.server.Output())
		}
	})
	return l
}

// startServer starts a server in place of the one before.
func (l *lab) startServer() {
	l.t.Helper()
	server, err := binary.Start(l.t.Context(), "--viewer="+l.proxy.URL(), "--end-grace=1s", "--viewer-share=1")
	if err != nil {
		l.t.Fatal(err)
	}
	l.server = server
	l.relay.aim(server.GRPCAddr)
}

// log logs lines to the run: every fifth repeats a step, and NaN and infinities
// are among the values where the Viewer can tell them.
func (l *lab) log(lines int) {
	l.t.Helper()
	for range lines {
		l.step++
		special := []string{"NaN", "Infinity", "-Infinity", fmt.Sprint(1 / float64(l.step))}[l.step%4]
		step := l.step - l.step/5
		if !l.seeded.Version().HasPaths() {
			special, step = fmt.Sprint(1/float64(l.step)), l.step // a merged table cannot tell more
		}
		cells := fmt.Sprintf(`{"loss": %s, "count": %d, "λ/学习率": 1e-%d, "ok": true}`, special, l.step, l.step)
		if err := l.seeded.Trainer.Log(l.t.Context(), realviewer.KeyHeld, step, cells); err != nil {
			l.t.Fatal(err)
		}
		if err := l.seeded.Trainer.LogText(l.t.Context(), realviewer.KeyHeld, fmt.Sprintf("line %d ü", l.step)); err != nil {
			l.t.Fatal(err)
		}
	}
}

// faults are what happens while programs follow the run.
var faults = []struct {
	name string
	do   func(l *lab)
}{
	{"the proxy before the server resets", func(l *lab) { l.relay.reset() }},
	{"the Viewer is killed", func(l *lab) {
		l.must(l.seeded.Kill())
		l.log(2)
		l.must(l.seeded.Restart(l.t.Context()))
	}},
	{"the proxy before the Viewer cuts answers and is down", func(l *lab) {
		l.proxy.Add(&faultproxy.Rule{Times: 3, ResetAfter: 10})
		l.log(2)
		l.must(l.proxy.Down())
		l.log(2)
		l.must(l.proxy.Up())
	}},
	{"the server is killed and replaced", func(l *lab) {
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGKILL))
		l.log(2)
		_ = l.server.Stop() // it was killed
		l.startServer()
	}},
	{"the server drains and is replaced", func(l *lab) {
		before := l.server
		l.startServer()
		l.must(before.Stop())
	}},
	{"the server is frozen for longer than two heartbeats", func(l *lab) {
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGSTOP))
		select { // the fault itself: how long nothing is heard
		case <-time.After(twoHeartbeats):
		case <-l.t.Context().Done():
		}
		l.must(syscall.Kill(l.server.Pid(), syscall.SIGCONT))
	}},
	{"a frozen server is replaced", func(l *lab) {
		frozen := l.server
		l.must(syscall.Kill(frozen.Pid(), syscall.SIGSTOP))
		l.startServer()
		l.log(2)
		l.t.Cleanup(func() {
			_ = syscall.Kill(frozen.Pid(), syscall.SIGCONT)
			if err := frozen.Stop(); err != nil {
				l.t.Errorf("stop the frozen server: %v", err)
			}
		})
	}},
}

func (l *lab) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// TestEachPointComesOnce breaks everything, one thing after another, while
// programs without any error handling follow a run, and compares what they
// print with the event file and the log.
func TestEachPointComesOnce(t *testing.T) {
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, version)
			l.log(20)
			var programs []*program
			for _, kind := range []string{"blocking", "asyncio", "logs"} {
				programs = append(programs, l.start(kind))
			}
			for _, fault := range faults {
				for _, p := range programs {
					p.await(int(l.step)) // each has all that was logged
				}
				fault.do(l)
				l.log(5)
				t.Logf("%s: %d lines are logged", fault.name, l.step)
			}
			if err := l.seeded.Trainer.Finish(t.Context(), realviewer.KeyHeld, "finished"); err != nil {
				t.Fatal(err)
			}
			for _, p := range programs {
				p.end()
				if p.kind == "logs" {
					l.compareLogs(p)
				} else {
					l.comparePoints(p)
				}
			}
		})
	}
}

// program is exact.py at work.
type program struct {
	t      *testing.T
	kind   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan printed
	got    []printed
	counts int // points of "count", or lines: one for each line that was logged
}

// printed is a line of its output.
type printed struct {
	Metric string
	Step   int64
	Value  any
}

func (l *lab) start(kind string) *program {
	l.t.Helper()
	p := &program{t: l.t, kind: kind, lines: make(chan printed, 1<<16)}
	p.cmd = exec.Command(pairs[1].python(l.t), "tests/exact.py", kind, l.relay.address(), l.run.RunID)
	p.cmd.Env = environment(l.t, "")
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // fails when it has ended, as it should have
		for range p.lines {
		}
	})
	go func() { // ends with the program
		defer close(p.lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			var line printed
			if err := json.Unmarshal(text.Bytes(), &line); err != nil {
				l.t.Errorf("%s printed %q: %v", kind, text.Text(), err)
				continue
			}
			p.lines <- line
		}
	}()
	return p
}

// await waits until the program has printed so many logged lines.
func (p *program) await(lines int) {
	p.t.Helper()
	for p.counts < lines {
		line, ok := <-p.lines
		if !ok {
			p.t.Fatalf("%s ended after %d of %d lines: %v\n%s", p.kind, p.counts, lines, p.cmd.Wait(), p.stderr.String())
		}
		p.take(line)
	}
}

func (p *program) take(line printed) {
	p.got = append(p.got, line)
	if line.Metric == "count" || p.kind == "logs" {
		p.counts++
	}
}

// end waits for the end of the program, which must be a good one.
func (p *program) end() {
	p.t.Helper()
	for line := range p.lines {
		p.take(line)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v\n%s", p.kind, err, p.stderr.String())
	}
}

// comparePoints compares with the event file, by metric.
func (l *lab) comparePoints(p *program) {
	l.t.Helper()
	got := byMetric(p.got)
	if !l.seeded.Version().HasPaths() {
		// Of a merged table, changes at steps already sent may come again.
		for name := range got {
			got[name] = lastOfEachStep(got[name])
		}
	}
	if diff := cmp.Diff(logged(l.t, l.run.EventFile), got); diff != "" {
		l.t.Errorf("%s: the event file and what was printed (-file +printed):\n%s", p.kind, diff)
	}
}

// byMetric are points by their metric and kind, which make a series; the order
// between series is not promised.
func byMetric(points []printed) map[string][]printed {
	out := map[string][]printed{}
	for _, point := range points {
		series := point.Metric
		switch value := point.Value.(type) {
		case bool:
			series += " (boolean)"
		case string:
			if !slices.Contains(nonFinite, value) {
				series += " (text)"
			}
		}
		out[series] = append(out[series], point)
	}
	return out
}

// nonFinite are the numbers that JSON has no word for.
var nonFinite = []string{"NaN", "Infinity", "-Infinity"}

// logged are the points of an event file, by metric.
func logged(t *testing.T, eventFile string) map[string][]printed {
	t.Helper()
	log, err := realviewer.ReadLog(eventFile)
	if err != nil {
		t.Fatal(err)
	}
	var out []printed
	for _, line := range log.Lines {
		for name, value := range line.Cells {
			cell := printed{Metric: name, Step: line.Step, Value: value.Number}
			switch {
			case value.Kind == realviewer.KindNull:
				continue
			case value.Kind == realviewer.KindText || slices.Contains(nonFinite, value.Text):
				cell.Value = value.Text
			case value.Kind == realviewer.KindBoolean:
				cell.Value = value.Number != 0
			}
			out = append(out, cell)
		}
	}
	return byMetric(out)
}

func lastOfEachStep(points []printed) []printed {
	last := map[int64]printed{}
	for _, point := range points {
		last[point.Step] = point
	}
	out := make([]printed, 0, len(last))
	for _, point := range last {
		out = append(out, point)
	}
	slices.SortFunc(out, func(a, b printed) int { return int(a.Step - b.Step) })
	return out
}

// compareLogs compares with the log file.
func (l *lab) compareLogs(p *program) {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.run.Dir, "logs.txt"))
	if err != nil {
		l.t.Fatal(err)
	}
	var got []string
	for _, line := range p.got {
		got = append(got, line.Value.(string))
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), got); diff != "" {
		l.t.Errorf("the log file and what was printed (-file +printed):\n%s", diff)
	}
}
