package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// binary is the server.
var binary serverproc.Binary

// server is the binary as a process, with clients of all its services.
type server struct {
	grpcAddr, httpAddr string
	log                string // the path of what it wrote

	experiments runicornapiv1.ExperimentServiceClient
	metrics     runicornapiv1.MetricServiceClient
	viewers     runicornapiv1.ViewerServiceClient
	artifacts   runicornapiv1.ArtifactServiceClient
	remote      runicornapiv1.RemoteServiceClient
	health      grpc_health_v1.HealthClient

	process *serverproc.Process
	conn    *grpc.ClientConn
}

// startServer starts the binary on free ports and waits until it serves. The
// caller stops it.
func startServer(ctx context.Context, args ...string) (*server, error) {
	process, err := binary.Start(ctx, args...)
	if err != nil {
		return nil, err
	}
	s := &server{grpcAddr: process.GRPCAddr, httpAddr: process.HTTPAddr, log: process.LogPath(), process: process}
	s.conn, err = grpc.NewClient(s.grpcAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, process.Stop())
	}
	s.experiments = runicornapiv1.NewExperimentServiceClient(s.conn)
	s.metrics = runicornapiv1.NewMetricServiceClient(s.conn)
	s.viewers = runicornapiv1.NewViewerServiceClient(s.conn)
	s.remote = runicornapiv1.NewRemoteServiceClient(s.conn)
	s.artifacts = runicornapiv1.NewArtifactServiceClient(s.conn)
	s.health = grpc_health_v1.NewHealthClient(s.conn)
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
func (s *server) stop() error { return errors.Join(s.conn.Close(), s.process.Stop()) }

// output is the end of what the server wrote.
func (s *server) output() string { return s.process.Output() }

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
