// Package examples holds a client in each of four languages, and the test that
// they work: it builds each with its own tools, starts the server's binary in
// demo mode and in front of a real Viewer, and compares the points that the
// clients print with the event file of the run. The live page, a client in a
// browser, is tested here as well.
//
// It must not know the inside of any other room: what it runs are programs,
// and what they have to print comes from event files.
package examples

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// suite frames the tests: what they built for themselves ends with them.
type suite struct{ tests *testing.M }

func (s suite) Run() int {
	code := s.tests.Run()
	if err := os.RemoveAll(workDir()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(suite{m}) }

// workDir is where the server and the Go example are built, once per process.
var workDir = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "runicorn-grpc-examples-")
	if err != nil {
		panic(err)
	}
	return dir
})

// serverBinary builds the server.
var serverBinary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(workDir(), "server")
	return path, runIn("..", "go", "build", "-o", path, "./cmd/server")
})

// server is the server's binary as a process.
type server struct{ grpcAddr, httpAddr string }

// startServer starts it on free ports and waits until it serves; it ends with
// the test.
func startServer(t *testing.T, args ...string) server {
	t.Helper()
	path, err := serverBinary()
	if err != nil {
		t.Fatal(err)
	}
	s := server{freeAddr(t), freeAddr(t)}
	var log bytes.Buffer
	cmd := exec.Command(path, append([]string{"--grpc-addr=" + s.grpcAddr, "--http-addr=" + s.httpAddr}, args...)...)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
		if err != nil {
			t.Errorf("stop the server: %v", err)
		}
		if t.Failed() {
			t.Logf("the server wrote:\n%s", log.String())
		}
	})
	conn, err := grpc.NewClient(s.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		t.Fatalf("wait for the server: %v", err)
	}
	return s
}

// freeAddr returns an address that was free a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// giveUp ends a test for want of something that the machine lacks.
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
