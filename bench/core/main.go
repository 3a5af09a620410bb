// Command core measures what the unary calls cost, in front of real Viewers,
// and prints the ratios that the project promises, each from one run in which
// both sides alternate. Run it from the root of the repository:
//
//	go run ./bench/core
//
// It installs the Viewers by itself (Python 3 and PyPI are needed), builds the
// server, and takes about five minutes on two cores.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "core:", err)
		os.Exit(1)
	}
}

// run builds the server and measures, part by part.
func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "runicorn-grpc-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bed{binary: filepath.Join(dir, "server"), dir: dir}
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/server")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the server: %w\n%s", err, text)
	}
	if err := manyRuns(ctx, out, b); err != nil {
		return fmt.Errorf("200 runs: %w", err)
	}
	for _, version := range []realviewer.Version{realviewer.V060, realviewer.V072} {
		if err := growingRun(ctx, out, b, version); err != nil {
			return fmt.Errorf("growing run on %s: %w", version, err)
		}
	}
	return nil
}

// bed holds what all parts need.
type bed struct {
	binary, dir string
}

// rig is a Viewer, a proxy that counts what reaches it, and a server in front.
type rig struct {
	viewer *realviewer.Viewer
	bytes  *counter
	proxy  *faultproxy.Proxy

	front // behind the proxy
}

// front is a server process and its clients.
type front struct {
	experiments runicornv1.ExperimentServiceClient
	metrics     runicornv1.MetricServiceClient

	server *exec.Cmd
	conn   *grpc.ClientConn
}

// start brings a rig up on a storage that is filled already.
func (b *bed) start(ctx context.Context, version realviewer.Version, storage string) (_ *rig, err error) {
	install, err := realviewer.Find(version)
	if err != nil {
		return nil, err
	}
	r := &rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close())
		}
	}()
	if r.viewer, err = realviewer.Start(ctx, install, realviewer.Options{Storage: storage}); err != nil {
		return nil, err
	}
	if r.bytes, err = newCounter(r.viewer.URL()); err != nil {
		return nil, err
	}
	if r.proxy, err = faultproxy.New(r.bytes.URL()); err != nil {
		return nil, err
	}
	return r, r.serve(ctx, b, r.proxy.URL())
}

// serve starts the server in front of a Viewer.
func (r *front) serve(ctx context.Context, b *bed, viewerURL string) error {
	addr, err := freeAddr()
	if err != nil {
		return err
	}
	httpAddr, err := freeAddr()
	if err != nil {
		return err
	}
	r.server = exec.Command(b.binary, "--viewer=v="+viewerURL, "--grpc-addr="+addr, "--http-addr="+httpAddr, "--log-level=error") //nolint:noctx // ended by close
	log, err := os.CreateTemp(b.dir, "log-")
	if err != nil {
		return err
	}
	defer log.Close()
	r.server.Stdout, r.server.Stderr = log, log
	if err := r.server.Start(); err != nil {
		return err
	}
	if r.conn, err = grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	r.experiments = runicornv1.NewExperimentServiceClient(r.conn)
	r.metrics = runicornv1.NewMetricServiceClient(r.conn)
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(r.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{}, grpc.WaitForReady(true))
	return err
}

func (r *front) close() error {
	var errs []error
	if r.conn != nil {
		errs = append(errs, r.conn.Close())
	}
	if r.server != nil && r.server.Process != nil {
		errs = append(errs, r.server.Process.Signal(os.Interrupt), r.server.Wait())
	}
	return errors.Join(errs...)
}

func (r *rig) close() error {
	errs := []error{r.front.close()}
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	if r.bytes != nil {
		errs = append(errs, r.bytes.Close())
	}
	if r.viewer != nil {
		errs = append(errs, r.viewer.Close())
	}
	return errors.Join(errs...)
}
