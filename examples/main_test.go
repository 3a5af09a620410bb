// Package examples has a client in each of six languages, and their tests: they build
// each with its own tools, start the server's binary in demo mode and in front of a
// real Viewer, and compare the points that the clients print with the event file of the
// run. The live page, a client in a browser, is also tested here.
//
// It must not depend on the internals of other packages: it runs programs, and takes
// the expected output from event files.
package examples

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// binary is the server.
var binary serverproc.Binary

// suite removes what the tests have built.
type suite struct{ tests *testing.M }

func (s suite) Run() int {
	code := s.tests.Run()
	building.Wait()
	if err := errors.Join(binary.Close(), os.RemoveAll(workDir())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// workDir returns the folder in which the Go example is built, one per process.
var workDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "runicorn-grpc-examples-")
	if err != nil {
		panic(err)
	}
	return dir
})

// server is the server's binary as a process.
type server struct{ grpcAddr, httpAddr, log string }

// startServer starts a server and waits until it serves; it is stopped at the end of
// the test.
func startServer(t *testing.T, args ...string) server {
	t.Helper()
	process, err := binary.Start(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := process.Stop(); err != nil {
			t.Errorf("stop the server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server wrote:\n%s", process.Output())
		}
	})
	return server{process.GRPCAddr, process.HTTPAddr, process.LogPath()}
}

// giveUp skips or fails a test that needs something that the machine lacks.
func giveUp(t *testing.T, reason error) {
	t.Helper()
	mode, err := realviewer.ModeFromEnv()
	switch {
	case err != nil:
		t.Fatal(err)
	case mode == realviewer.ModeRequired:
		t.Fatal(reason)
	case mode == realviewer.ModeAuto: // `go test` hides the reasons of skipped tests
		fmt.Fprintf(os.Stderr, "\n*** SKIPPED: %s did NOT run: %v; %s=%s makes this a failure ***\n\n",
			t.Name(), reason, realviewer.ModeVariable, realviewer.ModeRequired)
	}
	t.Skip(reason)
}
