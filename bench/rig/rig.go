// Package rig is what measurements have in common: a server built from this
// checkout, real Viewers, a proxy that counts requests between them, a relay
// that counts bytes, and the CPU time of processes. What is measured is in the
// commands beside it.
package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// Bed holds what a command needs from its beginning to its end.
type Bed struct {
	// Dir is for storages and logs; it goes with the bed.
	Dir    string
	binary string
}

// NewBed builds the server. The command runs in the root of the repository.
func NewBed(ctx context.Context) (*Bed, error) {
	dir, err := os.MkdirTemp("", "runicorn-grpc-bench-")
	if err != nil {
		return nil, err
	}
	b := &Bed{Dir: dir, binary: filepath.Join(dir, "server")}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/server")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("build the server: %w\n%s", err, text), b.Close())
	}
	return b, nil
}

// Close removes the bed's folder.
func (b *Bed) Close() error { return os.RemoveAll(b.Dir) }

// Rig is a Viewer, what counts in front of it, and a server.
type Rig struct {
	Viewer *realviewer.Viewer
	// Bytes counts what comes from the Viewer, Proxy the requests to it.
	Bytes *Counter
	Proxy *faultproxy.Proxy

	Front // behind the proxy
}

// Front is a server process and its clients.
type Front struct {
	Experiments runicornv1.ExperimentServiceClient
	Metrics     runicornv1.MetricServiceClient
	Health      grpc_health_v1.HealthClient
	// Addr is where it serves gRPC.
	Addr string

	server *exec.Cmd
	conn   *grpc.ClientConn
}

// Start brings a rig up on a storage that is filled already. The flags are the
// server's.
func (b *Bed) Start(ctx context.Context, version realviewer.Version, storage string, flags ...string) (_ *Rig, err error) {
	install, err := realviewer.Find(version)
	if err != nil {
		return nil, err
	}
	r := &Rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.Viewer, err = realviewer.Start(ctx, install, realviewer.Options{Storage: storage}); err != nil {
		return nil, err
	}
	if r.Bytes, err = newCounter(r.Viewer.URL()); err != nil {
		return nil, err
	}
	if r.Proxy, err = faultproxy.New(r.Bytes.URL()); err != nil {
		return nil, err
	}
	return r, r.Serve(ctx, b, r.Proxy.URL(), flags...)
}

// Serve starts the server in front of a Viewer.
func (f *Front) Serve(ctx context.Context, b *Bed, viewerURL string, flags ...string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	httpAddr, err := freeAddr()
	if err != nil {
		return err
	}
	flags = append([]string{"--viewer=v=" + viewerURL, "--grpc-addr=" + addr, "--http-addr=" + httpAddr, "--log-level=error"}, flags...)
	f.Addr, f.server = addr, exec.Command(b.binary, flags...) //nolint:noctx // ended by Close
	log, err := os.CreateTemp(b.Dir, "log-")
	if err != nil {
		return err
	}
	defer log.Close()
	f.server.Stdout, f.server.Stderr = log, log
	if err := f.server.Start(); err != nil {
		return err
	}
	if f.conn, err = grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	f.Experiments = runicornv1.NewExperimentServiceClient(f.conn)
	f.Metrics = runicornv1.NewMetricServiceClient(f.conn)
	f.Health = grpc_health_v1.NewHealthClient(f.conn)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = f.Health.Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}

// Stop asks the server to end, and waits for it. It must exit with 0.
func (f *Front) Stop() error {
	server := f.server
	f.server = nil
	return errors.Join(server.Process.Signal(syscall.SIGTERM), server.Wait())
}

// Close ends the server.
func (f *Front) Close() error {
	var errs []error
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	if f.server != nil && f.server.Process != nil {
		errs = append(errs, f.Stop())
	}
	return errors.Join(errs...)
}

// Close ends everything.
func (r *Rig) Close() error {
	errs := []error{r.Front.Close()}
	if r.Proxy != nil {
		errs = append(errs, r.Proxy.Close())
	}
	if r.Bytes != nil {
		errs = append(errs, r.Bytes.Close())
	}
	if r.Viewer != nil {
		errs = append(errs, r.Viewer.Close())
	}
	return errors.Join(errs...)
}

// Costs is the CPU time that server and Viewer spend on some work.
func (r *Rig) Costs(work func() error) (ours, theirs time.Duration, err error) {
	o1, err := r.CPUTime()
	if err != nil {
		return 0, 0, err
	}
	t1, err := r.Viewer.CPUTime()
	if err != nil {
		return 0, 0, err
	}
	if err := work(); err != nil {
		return 0, 0, err
	}
	o2, err := r.CPUTime()
	if err != nil {
		return 0, 0, err
	}
	t2, err := r.Viewer.CPUTime()
	return o2 - o1, t2 - t1, err
}
