package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/internal/cli"
	"github.com/runicorn-grpc/runicorn-grpc/internal/dataserver"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	// exitInterrupted is that of an interrupted subcommand, by the convention of shells.
	exitInterrupted = 130
)

// run is the process except its signals: it serves until ctx ends and returns the exit
// code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	var err error
	switch {
	case len(args) > 0 && cli.Has(args[0]):
		err = cli.Run(ctx, args, getenv, stdout, stderr)
	case dataserver.IsStarted(args):
		err = dataserver.Run(ctx, args, getenv, os.Stdin)
	default:
		err = serve(ctx, args, getenv, stdout, stderr)
	}
	switch {
	case err == nil || errors.Is(err, cli.ErrHelpPrinted):
		return exitOK
	case errors.Is(err, cli.ErrInterrupted):
		return exitInterrupted
	}
	line := strings.Join(strings.Fields(err.Error()), " ") // some libraries return several lines
	fmt.Fprintf(stderr, "%s: %s\n", program, line)
	if _, ok := errors.AsType[*cli.UsageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// gcPercent trades some CPU time for memory, unless GOGC is set: long-lived objects are
// small, and the garbage of reading one large run would be as large as the run.
const gcPercent = 40

// memory returns the sum of all memory limits: the soft memory limit of the process, near
// which it collects garbage more often.
func (cfg *Config) memory() int64 {
	const (
		base      = 256 << 20 // for calls and connections, whose number is limited, and garbage
		perStream = 128 << 10 // of HTTP: a window at both ends, and a message
	)
	return base + int64(cfg.CacheBytes+cfg.TailBytes+cfg.StreamBytes) + interceptor.MaxPendingBytes + int64(cfg.MaxHTTPStreams)*perStream
}

// serve builds everything, which opens all listeners, then serves and drains.
func serve(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	cfg, err := parse(args, getenv, stdout)
	if err != nil {
		return err
	}
	if getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.memory())
	}
	log, err := newLogger(cfg, stderr)
	if err != nil {
		return err
	}
	// The group's context ends, and starts the drain, on a signal or when the first
	// server fails.
	group, ctx := errgroup.WithContext(ctx)
	s, err := build(ctx, cfg, getenv, log)
	defer func() { err = errors.Join(err, s.close(ctx)) }()
	if err != nil {
		return err
	}
	if err := s.printBanner(stdout); err != nil {
		return err
	}
	for i := range s.demo.servers {
		group.Go(func() error { return s.demo.serve(i) })
	}
	for _, w := range s.watchers {
		group.Go(func() error { w.run(ctx); return nil })
	}
	group.Go(func() error { s.tokens.run(ctx); return nil })
	group.Go(func() error { s.audit.run(ctx); return nil })
	group.Go(func() error { s.refused.run(ctx); return nil })
	group.Go(func() error { s.tunnels.run(ctx); return nil })
	group.Go(func() error { return ignoreClosed(s.grpc.Serve(s.listen.memory)) })
	group.Go(func() error { return ignoreClosed(s.grpc.Serve(s.listen.grpc)) })
	group.Go(func() error { return ignoreClosed(s.http.Serve(s.listen.http)) })
	group.Go(s.profiles.serve)
	group.Go(func() error {
		<-ctx.Done()
		return s.drain(ctx)
	})
	return group.Wait()
}

// drain ends the process in order, within --drain-timeout: health reports NOT_SERVING
// immediately, admission refuses new calls, streams end because they see the same
// context, and other calls may finish. The demo is stopped last, as calls need it.
func (s *server) drain(ctx context.Context) error {
	s.log.Info("draining", slog.Duration("at_most", s.cfg.DrainTimeout))
	s.health.drain()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.DrainTimeout)
	defer cancel()
	var servers sync.WaitGroup
	servers.Go(func() { stopGRPC(ctx, s.grpc) })
	servers.Go(func() { s.stopHTTP(ctx) })
	servers.Wait()
	s.stopRemote(ctx)
	s.log.Info("drained", slog.Bool("in_time", ctx.Err() == nil))
	return errors.Join(s.profiles.close(), s.demo.close())
}

// remoteStopTime is how long the stop of the remote Viewers that this server has started
// may take; one takes up to 0.6 s.
const remoteStopTime = 5 * time.Second

// stopRemote stops those remote Viewers. No call can start more of them. A call that was
// cancelled may have started one of which the server does not know.
func (s *server) stopRemote(ctx context.Context) {
	if !s.cfg.StopRemoteOnDrain {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), remoteStopTime)
	defer cancel()
	if err := s.fleet.StopStarted(ctx); err != nil {
		s.log.Warn("remote viewers were not stopped", slog.Any("error", err))
	}
}

// stopHTTP lets requests in flight finish until the context ends.
func (s *server) stopHTTP(ctx context.Context) {
	if err := s.http.Shutdown(ctx); err != nil {
		s.log.Warn("HTTP requests were cut off", slog.Any("error", err))
		if err := s.http.Close(); err != nil {
			s.log.Warn("HTTP connections did not close", slog.Any("error", err))
		}
	}
}

// ignoreClosed drops the errors that servers return when they are stopped.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// printBanner prints the addresses for people; the log is for machines.
func (s *server) printBanner(w io.Writer) error {
	grpcAddr, httpAddr := s.listen.grpc.Addr().String(), s.listen.http.Addr().String()
	scheme, plain := "https", ""
	if s.cfg.TLSCert == "" {
		scheme, plain = "http", "-plaintext "
	}
	s.log.Info("serving", slog.String("grpc", grpcAddr), slog.String("http", httpAddr),
		slog.Any("viewers", s.fleet.Names()), slog.String("version", buildVersion()))
	var text strings.Builder
	fmt.Fprintf(&text, "viewers  %s\n", strings.Join(s.fleet.Names(), ", "))
	fmt.Fprintf(&text, "gRPC     %s\n", grpcAddr)
	fmt.Fprintf(&text, "HTTP     %s://%s/\n", scheme, httpAddr)
	if s.cfg.Demo {
		fmt.Fprintf(&text, "try      grpcurl %s%s runicornapi.v1.ExperimentService/ListExperiments\n", plain, grpcAddr)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
