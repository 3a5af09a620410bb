package e2e

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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// server is the binary as a process, with clients of all its services.
type server struct {
	grpcAddr, httpAddr string

	experiments runicornv1.ExperimentServiceClient
	metrics     runicornv1.MetricServiceClient
	viewers     runicornv1.ViewerServiceClient
	remote      runicornv1.RemoteServiceClient
	health      grpc_health_v1.HealthClient

	cmd  *exec.Cmd
	conn *grpc.ClientConn
	log  string // the path of what it wrote
}

// startServer starts the binary on free ports and waits until it serves. The
// caller stops it.
func startServer(ctx context.Context, args ...string) (*server, error) {
	path, err := binary()
	if err != nil {
		return nil, err
	}
	s := &server{grpcAddr: freeAddr(), httpAddr: freeAddr()}
	out, err := os.CreateTemp(binaryDir(), "log-")
	if err != nil {
		return nil, err
	}
	s.log = out.Name()
	s.cmd = exec.Command(path, append([]string{"--grpc-addr=" + s.grpcAddr, "--http-addr=" + s.httpAddr}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1")
	if err := errors.Join(s.cmd.Start(), out.Close()); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	s.conn, err = grpc.NewClient(s.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.experiments = runicornv1.NewExperimentServiceClient(s.conn)
	s.metrics = runicornv1.NewMetricServiceClient(s.conn)
	s.viewers = runicornv1.NewViewerServiceClient(s.conn)
	s.remote = runicornv1.NewRemoteServiceClient(s.conn)
	s.health = grpc_health_v1.NewHealthClient(s.conn)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if _, err := s.health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true)); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for the server: %w\n%s", err, s.output()), s.stop())
	}
	return s, nil
}

// mustStart starts a server for one test.
func mustStart(t *testing.T, args ...string) *server {
	t.Helper()
	s, err := startServer(t.Context(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stop the server: %v\n%s", err, s.output())
		} else if t.Failed() {
			t.Logf("the server wrote:\n%s", s.output())
		}
	})
	return s
}

// stop ends the process as an operator does, and wants exit code 0.
func (s *server) stop() error {
	var closeErr error
	if s.conn != nil {
		closeErr = s.conn.Close()
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return errors.Join(closeErr, err)
	}
	timer := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	return errors.Join(closeErr, s.cmd.Wait())
}

// output is the end of what the server wrote.
func (s *server) output() string {
	text, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(text[max(0, len(text)-8<<10):]))
}

// freeAddr returns an address that was free a moment ago.
func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// shared is one server in front of all three seeded Viewers, for tests that
// change nothing; each Viewer has the name of its generation.
var shared struct {
	once sync.Once
	srv  *server
	err  error
}

// viewerName is the name of a release in the shared server.
func viewerName(v realviewer.Version) string {
	return map[realviewer.Version]string{realviewer.V053: "v05", realviewer.V060: "v06", realviewer.V072: "v07"}[v]
}

// sharedServer returns the shared server, or skips where there are no Viewers.
func sharedServer(t *testing.T) *server {
	t.Helper()
	var args []string
	for _, version := range realviewer.Versions() {
		args = append(args, fmt.Sprintf("--viewer=%s=%s", viewerName(version), lab.Viewer(t, version).URL()))
	}
	shared.once.Do(func() { shared.srv, shared.err = startServer(context.WithoutCancel(t.Context()), args...) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.srv
}

func closeServers() error {
	if shared.srv == nil {
		return nil
	}
	return shared.srv.stop()
}

// eachGeneration runs a test against every real Viewer behind the shared
// server.
func eachGeneration(t *testing.T, test func(t *testing.T, s *server, viewer string, seeded *realviewer.Seeded)) {
	t.Helper()
	for _, version := range realviewer.Versions() {
		t.Run(string(version), func(t *testing.T) {
			seeded := lab.Viewer(t, version)
			test(t, sharedServer(t), viewerName(version), seeded)
		})
	}
}

// root is the root of the repository.
func root() string {
	path, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return path
}
