//go:build unix

// Package replicatest runs the server as several replicas behind HAProxy, with the
// shipped configuration, in front of one Viewer. Tests and measurements use it for what
// happens when a replica ends, dies or freezes.
//
// Calls go from a tail over HAProxy, with TLS, to a replica, and from there over a
// dedicated proxy that counts its requests to the Viewer. The package must not import the
// server.
package replicatest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/internal/faultproxy"
	"github.com/runicorn-grpc/runicorn-grpc/internal/serverproc"
)

// maxReplicas is the number of servers in the configuration of HAProxy.
const maxReplicas = 3

// Config configures a cluster.
type Config struct {
	Binary *serverproc.Binary
	// Source is the root of this repository.
	Source string
	// ViewerURL is the URL of the Viewer, whose name in the server is "lab".
	ViewerURL string
	// Replicas is the number of replicas, at most three.
	Replicas int
	// Flags are passed to every replica.
	Flags []string
}

// Cluster is several replicas behind HAProxy. Its methods are for one goroutine; its
// connections may be shared.
type Cluster struct {
	Replicas []*Replica
	dir      string
	haproxy  *haproxy
}

// Replica is one server.
type Replica struct {
	// Upstream counts the requests of the replica to the Viewer.
	Upstream *faultproxy.Proxy

	binary  *serverproc.Binary
	flags   []string
	process *serverproc.Process // nil while it is down
}

// Start starts the replicas, then HAProxy. The caller must call Close.
func Start(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	c := &Cluster{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.dir, err = os.MkdirTemp("", "runicorn-grpc-replicas-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(c.dir, 0o755); err != nil { //nolint:gosec // HAProxy reads it as another user
		return nil, err
	}
	for range cfg.Replicas {
		r := &Replica{binary: cfg.Binary}
		c.Replicas = append(c.Replicas, r)
		if r.Upstream, err = faultproxy.New(cfg.ViewerURL); err != nil {
			return nil, err
		}
		r.flags = append([]string{"--viewer=lab=" + r.Upstream.URL()}, cfg.Flags...)
		if err := r.Restart(ctx); err != nil {
			return nil, err
		}
		// A restart uses the same addresses.
		r.flags = append(r.flags, "--grpc-addr="+r.process.GRPCAddr, "--http-addr="+r.process.HTTPAddr)
	}
	c.haproxy, err = newHAProxy(ctx, filepath.Join(cfg.Source, "deploy", "haproxy", "haproxy.cfg"), c.dir, c.Replicas)
	if err != nil {
		return nil, err
	}
	return c, c.haproxy.start(ctx)
}

// Dial returns a connection to HAProxy.
func (c *Cluster) Dial() (*grpc.ClientConn, error) { return c.haproxy.dial() }

// RestartHAProxy stops HAProxy, with all its connections, and starts it again.
func (c *Cluster) RestartHAProxy(ctx context.Context) error {
	return errors.Join(c.haproxy.stop(), c.haproxy.start(ctx))
}

// HTTPGet reads a page of the HTTP side through HAProxy.
func (c *Cluster) HTTPGet(ctx context.Context, path string) (status int, body string, err error) {
	return c.haproxy.get(ctx, path)
}

// Output returns the output of HAProxy.
func (c *Cluster) Output() string { return c.haproxy.output() }

// Requests returns the number of requests of all replicas to the Viewer.
func (c *Cluster) Requests() (total int) {
	for _, r := range c.Replicas {
		total += r.Upstream.Total()
	}
	return total
}

// Pollers returns the replicas that have read the event file of a run.
func (c *Cluster) Pollers(runID string) (pollers []*Replica) {
	for _, r := range c.Replicas {
		if r.Upstream.Requests(http.MethodGet, "/api/runs/"+runID+"/assets/download") > 0 {
			pollers = append(pollers, r)
		}
	}
	return pollers
}

// SentElsewhere returns how many reads HAProxy sent to another replica than the one of
// their run because that one did not accept them in time, and how often it considered a
// replica down, since its last start.
func (c *Cluster) SentElsewhere(ctx context.Context) (redispatched, down int, err error) {
	return c.haproxy.sentElsewhere(ctx)
}

// Pause waits.
func (c *Cluster) Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close stops all processes.
func (c *Cluster) Close() error {
	var errs []error
	if c.haproxy != nil {
		errs = append(errs, c.haproxy.stop())
	}
	for _, r := range c.Replicas {
		errs = append(errs, r.Stop())
		if r.Upstream != nil {
			errs = append(errs, r.Upstream.Close())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// GRPCAddr returns the gRPC address of the replica itself.
func (r *Replica) GRPCAddr() string { return r.process.GRPCAddr }

// Stop drains and ends the replica by SIGTERM, and returns an error unless the exit code
// is 0.
func (r *Replica) Stop() error {
	if r.process == nil {
		return nil
	}
	process := r.process
	r.process = nil
	if err := process.Stop(); err != nil {
		return fmt.Errorf("stop a replica: %w\n%s", err, process.Output())
	}
	return nil
}

// Kill kills the replica.
func (r *Replica) Kill() error {
	process := r.process
	r.process = nil
	return process.Kill()
}

// Restart starts a replica that is down, on the same addresses.
func (r *Replica) Restart(ctx context.Context) (err error) {
	r.process, err = r.binary.Start(ctx, r.flags...)
	return err
}

// Freeze suspends the process: its connections stay open, and nothing answers on them.
func (r *Replica) Freeze() error { return syscall.Kill(r.process.Pid(), syscall.SIGSTOP) }

// Thaw resumes the process.
func (r *Replica) Thaw() error { return syscall.Kill(r.process.Pid(), syscall.SIGCONT) }
