package examples

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// line is a line that a client prints: a point, or the output of another command.
type line struct {
	Metric string
	Step   int64
	Value  any

	LogReset string `json:"log_reset"`

	RunID  string `json:"run_id"`
	Status string

	Code, Reason, Domain string
	Metadata             map[string]string
}

// point is a value at a step. Values that are not finite are texts.
type point struct {
	Step  int64
	Value any
}

// points has the points of each metric, in the order of logging. The order between
// metrics is not guaranteed.
type points map[string][]point

func (p points) add(l line) { p[l.Metric] = append(p[l.Metric], point{l.Step, l.Value}) }

func (p points) count() int {
	n := 0
	for _, of := range p {
		n += len(of)
	}
	return n
}

// logged returns the points of an event file.
func logged(log *realviewer.Log) points {
	p := points{}
	for _, l := range log.Lines {
		for name, value := range l.Cells {
			switch {
			case value.Kind == realviewer.KindNull:
			case value.Kind == realviewer.KindText:
				p.add(line{Metric: name, Step: l.Step, Value: value.Text})
			case value.Kind == realviewer.KindBoolean:
				p.add(line{Metric: name, Step: l.Step, Value: value.Number != 0})
			case slices.Contains([]string{"NaN", "Infinity", "-Infinity"}, value.Text):
				p.add(line{Metric: name, Step: l.Step, Value: value.Text})
			default:
				p.add(line{Metric: name, Step: l.Step, Value: value.Number})
			}
		}
	}
	return p
}

// compare compares the points that a client printed with the event file.
func (p points) compare(t *testing.T, file points) {
	t.Helper()
	if diff := cmp.Diff(file, p); diff != "" {
		t.Errorf("the event file and what was printed (-file +printed):\n%s", diff)
	}
}

// compareBeginning compares them with the beginning of a file that has grown since.
func (p points) compareBeginning(t *testing.T, file points) {
	t.Helper()
	begin := points{}
	for name, printed := range p {
		begin[name] = file[name][:min(len(printed), len(file[name]))]
	}
	p.compare(t, begin)
}

// running is a running client. It is used by one goroutine.
type running struct {
	client
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	lines  chan line
	got    points
}

// start starts a client; it is killed if the test ends before it does.
func (c client) start(t *testing.T, srv server, args ...string) *running {
	t.Helper()
	r := &running{client: c, t: t, lines: make(chan line, 1<<16), got: points{}}
	r.cmd = c.command(append([]string{"--address", srv.grpcAddr}, args...)...)
	r.cmd.Stderr = &r.stderr
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill() // fails if it has ended already, which is expected
		for range r.lines {
		}
	})
	go func() {
		defer close(r.lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			var l line
			if err := json.Unmarshal(text.Bytes(), &l); err != nil {
				t.Errorf("%s printed %q: %v", c.name, text.Text(), err)
				continue
			}
			r.lines <- l
		}
	}()
	return r
}

// record reads points until there are total. The timeout of the test limits it.
func (r *running) record(total int) {
	r.t.Helper()
	for r.got.count() < total {
		l, ok := <-r.lines
		if !ok {
			r.t.Fatalf("%s ended after %d of %d points: %v\n%s", r.name, r.got.count(), total, r.cmd.Wait(), r.stderr.String())
		}
		if l.LogReset != "" {
			r.t.Errorf("%s: reset %s", r.name, l.LogReset)
		}
		r.got.add(l)
	}
}

// rest reads the remaining lines, and checks that the client succeeds.
func (r *running) rest() []line {
	r.t.Helper()
	var all []line
	for l := range r.lines {
		all = append(all, l)
		if l.Metric != "" {
			r.got.add(l)
		}
	}
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("%s: %v\n%s", r.name, err, r.stderr.String())
	}
	return all
}
