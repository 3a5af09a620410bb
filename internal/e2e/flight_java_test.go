package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// flightProgram makes commands of a program that reads over Arrow Flight.
type flightProgram func(ctx context.Context, args ...string) *exec.Cmd

// eachFlightProgram runs a test with pyarrow and, where make full runs it, in Java.
func eachFlightProgram(t *testing.T, test func(t *testing.T, program flightProgram)) {
	t.Run("pyarrow", func(t *testing.T) {
		test(t, func(ctx context.Context, args ...string) *exec.Cmd { return flightClient(ctx, t, args...) })
	})
	if isFull() {
		t.Run("Java", func(t *testing.T) { test(t, javaFlight(t)) })
	}
}

// isFull says whether make full runs the tests.
func isFull() bool { return os.Getenv("RUNICORN_PYTHON_PAIRS") == "all" }

// javaFlight is the program in Java, with the libraries that Maven finds.
func javaFlight(t *testing.T) flightProgram {
	t.Helper()
	installs.Lock()
	defer installs.Unlock()
	classpath := filepath.Join(t.TempDir(), "classpath")
	mvn := exec.CommandContext(t.Context(), "mvn", "-q", "-B", "-f", filepath.Join("testdata", "flight", "pom.xml"), //nolint:gosec // our own
		"dependency:build-classpath", "-Dmdep.outputFile="+classpath)
	if out, err := mvn.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	libraries, err := os.ReadFile(classpath)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, "java", append([]string{ //nolint:gosec // our own
			"--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", strings.TrimSpace(string(libraries)), filepath.Join("testdata", "flight", "ReadFlight.java"),
		}, args...)...)
	}
}

// TestFlight_ReadsAMillionRows of six metrics in pyarrow, DuckDB, polars and Java, and
// compares with the Parquet export. It takes long, so only make full runs it.
func TestFlight_ReadsAMillionRows(t *testing.T) {
	t.Parallel()
	if !isFull() {
		t.Skip("make full runs it")
	}
	install, storage := realviewer.Require(t, realviewer.V072), t.TempDir()
	run, err := realviewer.WriteRun(storage, realviewer.V072, realviewer.RunSpec{
		Project: "large", Name: "run", Lines: realviewer.Curve(time.Now(), 1_000_000, "loss", "acc", "lr", "grad_norm", "val/loss", "val/acc"),
	})
	if err != nil {
		t.Fatal(err)
	}
	viewer := realviewer.MustStart(t, install, realviewer.Options{Storage: storage})
	if err := viewer.AwaitRuns(t.Context(), run.RunID); err != nil {
		t.Fatal(err)
	}
	s := mustStart(t, "--viewer=v07="+viewer.URL())
	written := filepath.Join(t.TempDir(), "java.arrows")
	for _, cmd := range []*exec.Cmd{
		javaFlight(t)(t.Context(), "write", s.grpcAddr, run.RunID, written),
		flightClient(t.Context(), t, "large", s.grpcAddr, s.httpAddr, "v07", run.RunID, written),
	} {
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}
