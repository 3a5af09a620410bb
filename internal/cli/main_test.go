package cli

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// update rewrites golden files.
var update = flag.Bool("update", false, "rewrite the golden files")

// binary is the server; demo is the running server with its demo Viewers.
var (
	binary serverproc.Binary
	demo   *serverproc.Process
)

// suite starts the demo before the tests, and stops it after them.
type suite struct{ m *testing.M }

func (s suite) Run() int {
	time.Local = time.UTC //nolint:gosmopolitan // golden files show times
	var err error
	if demo, err = binary.Start(context.Background(), "--demo", "--end-grace=500ms"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := s.m.Run()
	if err := errors.Join(demo.Stop(), binary.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// result is the output and exit code of a command.
type result struct {
	out, errOut string
	err         error
}

// runCommand runs a command in front of the demo.
func runCommand(t *testing.T, args ...string) result {
	t.Helper()
	return runWith(t, map[string]string{"RUNICORN_GRPC_ADDRESS": demo.GRPCAddr}, args...)
}

func runWith(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, errOut bytes.Buffer
	err := Run(ctx, args, func(name string) string { return env[name] }, &out, &errOut)
	return result{out.String(), errOut.String(), err}
}

// wantGolden compares a result with a golden file.
func wantGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it printed\n%s\nwant, by %s,\n%s", got, path, want)
	}
}

func (r result) text() string {
	text := r.out
	if r.errOut != "" {
		text += "--- standard error\n" + r.errOut
	}
	if r.err != nil {
		text += "--- error\n" + r.err.Error() + "\n"
	}
	return strings.ReplaceAll(text, demo.GRPCAddr, "SERVER")
}
