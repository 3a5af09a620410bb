// Package rig is shared by the measurements: a server built from this checkout, real
// Viewers, a proxy that counts requests between them, a relay that counts bytes, and the
// CPU time of processes. The commands in the neighbouring folders measure.
package rig

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// Bed holds what a command needs for its whole run.
type Bed struct {
	// Dir is for storages and logs; Close removes it.
	Dir string
	// ProxyAddr is the address of the proxies of rigs; any if empty.
	ProxyAddr string
	binary    serverproc.Binary
}

// NewBed builds the server.
func NewBed(ctx context.Context) (*Bed, error) {
	b := &Bed{}
	var err error
	if b.Dir, err = b.binary.Dir(); err != nil {
		return nil, err
	}
	if _, err = b.binary.Path(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Binary returns the server's binary.
func (b *Bed) Binary() *serverproc.Binary { return &b.binary }

// Close removes the bed's folder.
func (b *Bed) Close() error { return b.binary.Close() }

// Rig is a Viewer, the counters in front of it, and a server.
type Rig struct {
	Viewer *realviewer.Viewer
	// Bytes counts the bytes that the Viewer sends, Proxy the requests to it.
	Bytes *faultproxy.Relay
	Proxy *faultproxy.Proxy

	Front // behind the proxy
}

// Front is a server process and its clients.
type Front struct {
	Experiments runicornapiv1.ExperimentServiceClient
	Metrics     runicornapiv1.MetricServiceClient
	Health      grpc_health_v1.HealthClient
	// Addr is the address of gRPC, HTTPAddr that of HTTP.
	Addr, HTTPAddr string

	process *serverproc.Process
	conn    *grpc.ClientConn
}

// StartViewer starts a Viewer on a prepared storage, and waits until it lists the runs.
func StartViewer(ctx context.Context, version realviewer.Version, storage string, runIDs ...string) (*realviewer.Viewer, error) {
	install, err := realviewer.Find(version)
	if err != nil {
		return nil, err
	}
	viewer, err := realviewer.Start(ctx, install, realviewer.Options{Storage: storage})
	if err != nil || len(runIDs) == 0 {
		return viewer, err
	}
	if err := viewer.AwaitRuns(ctx, runIDs...); err != nil {
		return nil, errors.Join(err, viewer.Close())
	}
	return viewer, nil
}

// Start starts a rig on a prepared storage. The flags are the server's.
func (b *Bed) Start(ctx context.Context, version realviewer.Version, storage string, flags ...string) (_ *Rig, err error) {
	r := &Rig{}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if r.Viewer, err = StartViewer(ctx, version, storage); err != nil {
		return nil, err
	}
	if r.Bytes, err = faultproxy.NewRelay(); err != nil {
		return nil, err
	}
	r.Bytes.Aim(strings.TrimPrefix(r.Viewer.URL(), "http://"))
	if r.Proxy, err = faultproxy.NewAt(cmp.Or(b.ProxyAddr, "127.0.0.1:0"), "http://"+r.Bytes.Addr()); err != nil {
		return nil, err
	}
	return r, r.Serve(ctx, b, r.Proxy.URL(), flags...)
}

// Serve starts the server in front of a Viewer.
func (f *Front) Serve(ctx context.Context, b *Bed, viewerURL string, flags ...string) error {
	var err error
	f.process, err = b.binary.Start(ctx, append([]string{"--viewer=v=" + viewerURL, "--log-level=error"}, flags...)...)
	if err != nil {
		return err
	}
	f.Addr, f.HTTPAddr = f.process.GRPCAddr, f.process.HTTPAddr
	if f.conn, err = grpc.NewClient(f.Addr, grpc.WithTransportCredentials(insecure.NewCredentials())); err != nil {
		return err
	}
	f.Experiments = runicornapiv1.NewExperimentServiceClient(f.conn)
	f.Metrics = runicornapiv1.NewMetricServiceClient(f.conn)
	f.Health = grpc_health_v1.NewHealthClient(f.conn)
	return nil
}

// Stop ends the server by SIGTERM, and returns an error unless the exit code is 0.
func (f *Front) Stop() error { return f.process.Stop() }

// Close ends the server.
func (f *Front) Close() error {
	var errs []error
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	if f.process != nil {
		errs = append(errs, f.process.Stop())
	}
	return errors.Join(errs...)
}

// Close stops everything.
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

// Costs returns the CPU time that server and Viewer spend on work.
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
