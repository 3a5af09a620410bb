package pythonclient

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultlab"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// lab has the real Viewers of the client's tests.
type lab struct {
	*faultlab.Lab
	t *testing.T
}

func newLab(t *testing.T, version realviewer.Version) *lab {
	t.Helper()
	return &lab{Lab: faultlab.New(t, &binary, version), t: t}
}

// TestEachPointComesOnce injects every fault, one after another, while programs
// without error handling follow a run, and compares their output with the event
// file and the log.
func TestEachPointComesOnce(t *testing.T) {
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, version)
			l.Log(20)
			var programs []*program
			for _, kind := range []string{"blocking", "asyncio", "logs"} {
				programs = append(programs, l.start(kind))
			}
			for _, fault := range faultlab.Faults() {
				for _, p := range programs {
					p.await(int(l.Step)) // each has received everything that was logged
				}
				fault.Do(l.Lab)
				l.Log(5)
				t.Logf("%s: %d lines are logged", fault.Name, l.Step)
			}
			l.Finish()
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

// program is a running exact.py.
type program struct {
	t      *testing.T
	kind   string
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan printed
	got    []printed
	counts int // points of "count", or lines: one for each line that was logged
}

// printed is a line of the output of a program.
type printed struct {
	Metric string
	Step   int64
	Value  any
}

func (l *lab) start(kind string) *program {
	l.t.Helper()
	p := &program{t: l.t, kind: kind, lines: make(chan printed, 1<<16)}
	p.cmd = exec.Command(pairs[1].python(l.t), "tests/exact.py", kind, l.Relay.Addr(), l.Run.RunID)
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
		_ = p.cmd.Process.Kill() // fails if it has ended already, which is expected
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

// await waits until the program has printed a number of logged lines.
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

// end waits for the end of the program, which must succeed.
func (p *program) end() {
	p.t.Helper()
	for line := range p.lines {
		p.take(line)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v\n%s", p.kind, err, p.stderr.String())
	}
}

// comparePoints compares the printed points with the event file, by metric.
func (l *lab) comparePoints(p *program) {
	l.t.Helper()
	got := byMetric(p.got)
	if !l.Seeded.Version().HasPaths() {
		// With a merged table, changes at steps already sent may be repeated.
		for name := range got {
			got[name] = lastOfEachStep(got[name])
		}
	}
	if diff := cmp.Diff(logged(l.t, l.Run.EventFile), got); diff != "" {
		l.t.Errorf("%s: the event file and what was printed (-file +printed):\n%s", p.kind, diff)
	}
}

// byMetric has points by metric and kind, which identify a series; the order between
// series is not guaranteed.
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

// nonFinite are the numbers that JSON cannot represent.
var nonFinite = []string{"NaN", "Infinity", "-Infinity"}

// logged returns the points of an event file, by metric.
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

// compareLogs compares the printed lines with the log file.
func (l *lab) compareLogs(p *program) {
	l.t.Helper()
	text, err := os.ReadFile(filepath.Join(l.Run.Dir, "logs.txt"))
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
