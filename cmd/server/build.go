package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	runicorngrpc "github.com/runicorn-grpc/runicorn-grpc"
	"github.com/runicorn-grpc/runicorn-grpc/internal/arrowflight"
	"github.com/runicorn-grpc/runicorn-grpc/internal/compat"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/httpapi"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/remote"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/tensorboard"
)

// server holds the parts of the process.
type server struct {
	cfg *Config
	log *slog.Logger

	listen   *listeners
	demo     *demo
	fleet    *fleet.Fleet
	cache    *runcache.Cache
	index    *search.Index
	hub      *follow.Hub
	cpuGate  *cpugate.Gate
	tracing  *tracing
	health   *healthServer
	watchers []*watcher
	tunnels  *tunnelWatcher
	tokens   *tokenFile
	audit    *audit
	refused  *refusals
	grpc     *grpc.Server
	conn     *grpc.ClientConn
	http     *http.Server

	// protocolConn is for Arrow Flight and TensorBoard; nil without them.
	protocolConn *grpc.ClientConn
	tensorboard  *tensorboard.Server // nil without TensorBoard

	profiles *profiles // nil without --pprof-listen
}

// build makes the parts of the process. ctx ends when the drain begins. After an error
// the server has what was built before, so that close can release it.
func build(ctx context.Context, cfg *Config, getenv func(string) string, log *slog.Logger) (*server, error) {
	s := &server{cfg: cfg, log: log, health: newHealthServer(), cpuGate: cpugate.NewGate(runtime.GOMAXPROCS(0))}
	for _, text := range cfg.warnings() {
		log.Warn("insecure listener", slog.String("what", text))
	}
	cert, err := newCertificate(cfg, log)
	if err != nil {
		return s, err
	}
	if s.tracing, err = newTracing(ctx, getenv); err != nil {
		return s, err
	}
	validator, err := interceptor.NewValidator()
	if err != nil {
		return s, err
	}
	if s.demo, err = newDemo(ctx, cfg, log); err != nil {
		return s, err
	}
	auth, tokens, err := newAuthorizer(cfg, entryNames(cfg.viewers(s.demo.entries)), log)
	if err != nil {
		return s, err
	}
	s.tokens = tokens
	metrics := newMetrics()
	if s.audit, err = newAudit(cfg, s.health, log); err != nil {
		return s, err
	}
	metrics.addAudit(s.audit)
	if err := s.buildViewers(metrics); err != nil {
		return s, err
	}
	if s.listen, err = listen(ctx, cfg, cert); err != nil {
		return s, err
	}
	if s.profiles, err = newProfiles(ctx, cfg.PprofListen); err != nil {
		return s, err
	}
	if !cfg.DisableFlight || !cfg.DisableTensorBoard {
		// A separate connection, so that its streams do not count towards those of HTTP.
		if s.protocolConn, err = dialMemory(s.listen.memory); err != nil {
			return s, err
		}
	}
	s.refused = newRefusals(s.audit.leaveOut)
	pending := interceptor.NewPending()
	s.grpc = newGRPCServer(cfg, service.Config{
		Fleet: s.fleet, Cache: s.cache, Index: s.index, Hub: s.hub, CPUGate: s.cpuGate, StreamBytes: int64(cfg.StreamBytes), TempBytes: int64(cfg.TempBytes), ObserveLag: metrics.lag.Observe,
		Draining:          ctx.Done(),
		AllowConfigWrites: cfg.AllowConfigWrites, DisablePurge: cfg.purgeDisabled(),
		Remote: remote.Policy{Hosts: cfg.RemoteHosts, AllowKeyPaths: cfg.AllowKeyPaths},
	}, chainParts{
		metrics: metrics.calls, errors: metrics.errors, panics: metrics.panics, audit: s.audit.auditor(),
		Config: interceptor.Config{
			Log: log, Deadline: cfg.DefaultDeadline, Auth: auth, Validator: validator, Stalls: interceptor.NewStalls(cfg.ClientStall),
			Admission: interceptor.Admission{DisableRemote: cfg.remoteDisabled(), Draining: ctx.Done()},
		},
	}, &interceptor.Tap{
		Auth: auth, Pending: pending, MaxCalls: int64(cfg.MaxCalls), PerToken: cfg.tokenLimits(), PeerHeader: httpapi.PeerHeader, Refused: s.refused.note,
	}, s.refused, s.tracing, s.health)
	if !cfg.DisableFlight {
		arrowflight.New(s.protocolConn).Register(s.grpc)
	}
	if !cfg.DisableTensorBoard {
		s.tensorboard = tensorboard.New(tensorboard.Config{Fleet: s.fleet, Cache: s.cache, Index: s.index, Conn: s.protocolConn})
		s.tensorboard.Register(s.grpc)
	}
	return s, s.buildHTTP(ctx, metrics, auth, pending)
}

// buildViewers makes the fleet and its health checks.
func (s *server) buildViewers(metrics *metrics) (err error) {
	s.fleet, err = fleet.New(s.cfg.viewers(s.demo.entries), restclient.Config{
		UserAgent:    program + "/" + buildVersion(),
		Observer:     metrics,
		Log:          s.log,
		LightTimeout: s.cfg.UpstreamTimeout,
		HeavyTimeout: s.cfg.HeavyTimeout,
		StallTimeout: s.cfg.StallTimeout,
		Share:        s.cfg.ViewerShare,
	})
	if err != nil {
		return badFlag("viewer", "%w", err)
	}
	s.fleet.SetFanOutTimeout(s.cfg.FanOutTimeout)
	s.cache = runcache.New(runcache.Config{MaxBytes: int64(s.cfg.CacheBytes), Gate: s.cpuGate})
	metrics.addCache(s.cache)
	s.index = search.New(search.Config{
		Cache: s.cache, Gate: s.cpuGate, Log: s.log, StateFile: s.cfg.stateFile(),
		MaxBytes: int64(s.cfg.StateBytes), StateBytes: int64(s.cfg.StateBytes),
	})
	metrics.addIndex(s.index)
	s.hub = follow.NewHub(s.cfg.hub(s.log))
	metrics.addHub(s.hub)
	metrics.addShares(s.cfg.ViewerShare, s.fleet)
	newWatcher := func(viewer *fleet.Viewer) *watcher {
		return &watcher{
			viewer: viewer, health: s.health, up: metrics.viewerUp.WithLabelValues(viewer.Name),
			interval: s.cfg.HealthInterval,
		}
	}
	for _, viewer := range s.fleet.Configured() {
		s.health.SetServingStatus(viewerHealth(viewer.Name), healthpb.HealthCheckResponse_NOT_SERVING)
		s.watchers = append(s.watchers, newWatcher(viewer))
	}
	s.tunnels = &tunnelWatcher{
		fleet: s.fleet, health: s.health, newWatcher: newWatcher, interval: s.cfg.HealthInterval,
		dropMetrics: func(viewer string) { metrics.viewerUp.DeleteLabelValues(viewer) },
	}
	if s.cfg.remoteDisabled() {
		s.fleet.IgnoreTunnels()
	}
	return nil
}

// stateFile returns the file of the search index; empty to keep it in memory only, as
// without a cache directory.
func (cfg *Config) stateFile() string {
	switch {
	case cfg.Demo || cfg.StateDir == "":
		return ""
	case cfg.StateDir != "auto":
		return filepath.Join(cfg.StateDir, "search.db")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, program, "search.db")
}

// hub returns the flags for followed runs.
func (cfg *Config) hub(log *slog.Logger) follow.HubConfig {
	hub := follow.HubConfig{
		MaxBytes: int64(cfg.TailBytes), MinInterval: cfg.PollMin, MaxInterval: cfg.PollMax,
		EndGrace: cfg.EndGrace, UnreachableAfter: cfg.TailUnreachableAfter, ClassifyError: source.ClassifyError, Log: log,
	}
	if hub.UnreachableAfter == 0 {
		hub.UnreachableAfter = -1 // never; 0 would be the default
	}
	return hub
}

// buildHTTP makes the HTTP side, which is a client of the gRPC server.
func (s *server) buildHTTP(ctx context.Context, metrics *metrics, auth *interceptor.Authorizer, pending *interceptor.Pending) (err error) {
	if s.conn, err = dialMemory(s.listen.memory); err != nil {
		return err
	}
	// The context of the handlers must not end with the signal, as they finish during the
	// drain.
	conn := httpapi.NewConn(s.conn, int(s.cfg.MaxHTTPStreams), int(s.cfg.MaxStreams-s.cfg.MaxHTTPStreams))
	var refusals interceptor.Rate
	handler, err := httpapi.New(context.WithoutCancel(ctx), httpapi.Config{
		Conn:   conn,
		Health: s.health,
		Identify: func(r *http.Request) context.Context {
			return auth.Identify(r.Context(), r.Header.Values("Authorization"), r.TLS)
		},
		Admit:        interceptor.Admit,
		AdmitMetrics: s.cfg.admitMetrics,
		Refused:      s.audit.refused,
		Draining:     ctx.Done(),
		Compute:      func(work func() error) error { return s.cpuGate.Do(context.WithoutCancel(ctx), work) },
		AllowLog:     refusals.Allow,
		AllowedHosts: s.cfg.AllowedHosts,
		CORSOrigins:  s.cfg.CORSOrigins,
		Metrics:      metrics.handler(),
		Compat:       compat.New(compat.Config{Conn: conn, Admit: interceptor.Admit, Refused: s.audit.refused, Log: s.log}),
		OpenAPI:      runicorngrpc.OpenAPI,
		Protos:       runicorngrpc.Protos(),
		GRPCPort:     s.listen.grpcPort(),
		Limits: httpapi.Limits{
			MaxBody: interceptor.MaxRequest, UnaryTimeout: s.cfg.DefaultDeadline, WriteStall: s.cfg.ClientStall,
			Pending: func(giveUp func()) func() { return pending.Begin(true, giveUp) },
		},
		Log: s.log,
	})
	if err != nil {
		return fmt.Errorf("build the HTTP side: %w", err)
	}
	s.http = &http.Server{
		Handler: handler,
		// No WriteTimeout: streams have no end.
		ReadHeaderTimeout: s.cfg.HTTPHeaderTimeout,
		IdleTimeout:       s.cfg.HTTPIdleTimeout,
		MaxHeaderBytes:    maxHeaders,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return nil
}

// admitMetrics returns an error if a caller may not read the metrics, which name every
// Viewer.
func (cfg *Config) admitMetrics(ctx context.Context) error {
	if cfg.MetricsOpen {
		return nil
	}
	return interceptor.AdmitToAll(ctx)
}

// close releases what build has made and serving has not ended.
func (s *server) close(ctx context.Context) error {
	var failed error
	for _, conn := range []*grpc.ClientConn{s.conn, s.protocolConn} {
		if conn != nil {
			failed = errors.Join(failed, conn.Close())
		}
	}
	if s.tensorboard != nil {
		s.tensorboard.Close()
	}
	if s.listen != nil {
		failed = errors.Join(failed, s.listen.close())
	}
	failed = errors.Join(failed, s.profiles.close())
	if s.hub != nil {
		s.hub.Close()
	}
	if s.index != nil {
		s.index.Close()
	}
	if s.cache != nil {
		s.cache.Close()
	}
	if s.fleet != nil {
		s.fleet.Close()
	}
	if s.demo != nil {
		failed = errors.Join(failed, s.demo.close())
	}
	s.refused.flush()
	return errors.Join(failed, s.audit.close(), s.tracing.close(ctx))
}
