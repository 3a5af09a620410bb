package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// flightClient is a program that reads over Arrow Flight by pyarrow.
func flightClient(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	return exec.CommandContext(ctx, exportsPython(t), append([]string{filepath.Join("testdata", "read_flight.py")}, args...)...) //nolint:gosec // our own
}

// TestFlight_TablesAreThoseOfTheExports reads every seeded run of every release
// with pyarrow, in both layouts, and compares with the Parquet exports, which are
// compared with the event files elsewhere.
func TestFlight_TablesAreThoseOfTheExports(t *testing.T) {
	t.Parallel()
	eachGeneration(t, func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded) {
		args := []string{"tables", s.grpcAddr, s.httpAddr, viewer}
		for key, run := range seeded.Manifest.Runs {
			if !running[key] {
				args = append(args, run.RunID)
			}
		}
		if out, err := flightClient(t.Context(), t, args...).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestFlight_TailsALiveRunToItsEnd follows a run that trains, drops in the middle
// and resumes by the token in app_metadata.
func TestFlight_TailsALiveRunToItsEnd(t *testing.T) {
	t.Parallel()
	eachFlightProgram(t, tailToTheEnd)
}

func tailToTheEnd(t *testing.T, program flightProgram) {
	const lines = 120
	l := newTrainLab(t, realviewer.V072)
	run, _ := l.open(t, "flight")
	client := program(t.Context(), "tail", l.servers[0].grpcAddr, run.RunID)
	client.Stderr = os.Stderr
	pipe, err := client.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(pipe)
	var want []string
	for step := range int64(lines) {
		if step == 1 { // the first line makes the file
			if first, err := out.ReadString('\n'); err != nil || first != "following\n" {
				t.Fatalf("the client says %q, %v", first, err)
			}
		}
		if err := l.trainer.Log(t.Context(), "flight", step, fmt.Sprintf(`{"loss": %d, "note": "n%d"}`, step, step)); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprintf("%d loss %d", step, step), fmt.Sprintf("%d note n%d", step, step))
	}
	l.finish(t, "flight", "finished")
	var points []struct {
		Step   int64
		Metric string
		Value  *float64
		Text   *string
	}
	if err := json.NewDecoder(out).Decode(&points); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range points {
		switch {
		case p.Value != nil:
			got = append(got, fmt.Sprintf("%d %s %v", p.Step, p.Metric, *p.Value))
		case p.Text != nil:
			got = append(got, fmt.Sprintf("%d %s %s", p.Step, p.Metric, *p.Text))
		}
	}
	got = slices.DeleteFunc(got, func(p string) bool { return !strings.Contains(p, " loss ") && !strings.Contains(p, " note ") })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got %d points, want %d:\n%q\n%q", len(got), len(want), got, want)
	}
}

// TestFlight_RequiresTheTokenOfOtherCalls calls a server with tokens.
func TestFlight_RequiresTheTokenOfOtherCalls(t *testing.T) {
	t.Parallel()
	const token = "a-token-that-is-long-enough-to-be-one"
	seeded := lab.Viewer(t, realviewer.V072)
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("read "+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--viewer="+seeded.URL(), "--auth-token-file="+tokens)
	run := seeded.Manifest.Runs[realviewer.KeyBasic]
	eachFlightProgram(t, func(t *testing.T, program flightProgram) {
		if out, err := program(t.Context(), "refused", s.grpcAddr, run.RunID, token).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if strings.Contains(s.output(), token) {
		t.Error("the token is in the log")
	}
}
