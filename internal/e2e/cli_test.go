package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultlab"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// subcommand is the binary as a command of the terminal.
type subcommand struct {
	cmd    *exec.Cmd
	lines  chan string // closed at the end of its output
	output []string
	errOut bytes.Buffer
}

func startSubcommand(t *testing.T, address string, args ...string) *subcommand {
	t.Helper()
	path, err := binary.Path(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	s := &subcommand{cmd: exec.CommandContext(ctx, path, append(args, "--address", address)...), lines: make(chan string, 1<<12)}
	s.cmd.Stderr = &s.errOut
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() { // ends with the process
		defer close(s.lines)
		text := bufio.NewScanner(out)
		text.Buffer(nil, 1<<20)
		for text.Scan() {
			s.lines <- text.Text()
		}
	})
	t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return s
}

// await waits until the command has printed so many lines.
func (s *subcommand) await(t *testing.T, lines int) {
	t.Helper()
	for len(s.output) < lines {
		line, ok := <-s.lines
		if !ok {
			t.Fatalf("%v ended after %d of %d lines: %v\n%s", s.cmd.Args, len(s.output), lines, s.cmd.Wait(), s.errOut.String())
		}
		s.output = append(s.output, line)
	}
}

// end waits for its end, which must be a good one.
func (s *subcommand) end(t *testing.T) {
	t.Helper()
	for line := range s.lines {
		s.output = append(s.output, line)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("%v: %v\n%s", s.cmd.Args, err, s.errOut.String())
	}
}

// TestSubcommands_InFrontOfARealViewer follows a run and its log from the terminal
// while servers and connections break, and saves the run.
func TestSubcommands_InFrontOfARealViewer(t *testing.T) {
	t.Parallel()
	l := faultlab.New(t, &binary, realviewer.V072)
	l.Log(10)
	logs := startSubcommand(t, l.Relay.Addr(), "logs", "-f", l.Run.RunID)
	points := startSubcommand(t, l.Relay.Addr(), "tail", l.Run.RunID, "--json")
	points.await(t, 1)
	for _, fault := range faultlab.Faults()[:5] { // a freeze would last until two heartbeats of 15 s
		logs.await(t, int(l.Step))
		fault.Do(l)
		l.Log(5)
	}
	l.Finish()
	logs.end(t)
	points.end(t)
	want, err := os.ReadFile(filepath.Join(l.Run.Dir, "logs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), strings.Join(logs.output, "\n")+"\n"); diff != "" {
		t.Errorf("the log and what was printed (-log +printed):\n%s", diff)
	}
	comparePrinted(t, l.Run.EventFile, points.output)
	compareExport(t, l)
}

// comparePrinted compares what tail --json has printed with the event file.
func comparePrinted(t *testing.T, eventFile string, lines []string) {
	t.Helper()
	log, err := realviewer.ReadLog(eventFile)
	if err != nil {
		t.Fatal(err)
	}
	want, got := map[string][]string{}, map[string][]string{}
	for _, name := range log.Names() {
		for _, p := range log.Points(name, realviewer.KindNumber) {
			want[name] = append(want[name], fmt.Sprintf("%d %v %v", p.Step, p.Time, p.Value.Number))
		}
	}
	for _, line := range lines {
		event := &runicornapiv1.TailMetricsResponse{}
		if err := protojson.Unmarshal([]byte(line), event); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, s := range event.GetBatch().GetSeries() {
			if s.GetKind() != runicornapiv1.MetricKind_METRIC_KIND_NUMBER {
				continue
			}
			for i, step := range s.GetSteps() {
				got[s.GetMetricName()] = append(got[s.GetMetricName()], fmt.Sprintf("%d %v %v", step, s.GetTimes()[i], s.GetValues()[i]))
			}
		}
	}
	want = withoutEmpty(want)
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 3 {
		t.Errorf("the event file and what was printed (-file +printed):\n%s", diff)
	}
}

func withoutEmpty(series map[string][]string) map[string][]string {
	maps.DeleteFunc(series, func(_ string, points []string) bool { return len(points) == 0 })
	return series
}

// compareExport saves the run, and compares with what HTTP serves.
func compareExport(t *testing.T, l *faultlab.Lab) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.csv")
	export := startSubcommand(t, l.Relay.Addr(), "export", l.Run.RunID, "-o", path)
	export.end(t)
	saved, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	srv := mustStart(t, "--viewer="+l.Seeded.URL())
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+srv.httpAddr+"/v1/experiments/"+l.Run.RunID+":export?format=csv", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	served, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(saved, served) || len(saved) < 100 || len(export.output) != 1 || !strings.Contains(export.output[0], "sha256:") {
		t.Errorf("saved %d bytes, HTTP serves %d; it printed %q", len(saved), len(served), export.output)
	}
}
