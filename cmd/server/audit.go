package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runicorn-grpc/runicorn-grpc/internal/auditlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// auditHealth is the health service name of the audit log.
const auditHealth = "audit_log"

// audit writes the audit log. A nil audit writes nothing.
type audit struct {
	file    *auditlog.Log
	log     *slog.Logger
	rate    interceptor.Rate // of refusals that unauthenticated callers can cause
	leftOut atomic.Int64     // number of refusals beyond rate since the last line
}

// newAudit opens the file of --audit-log; nil without the flag.
func newAudit(cfg *Config, health *healthServer, log *slog.Logger) (*audit, error) {
	if cfg.AuditLog == "" {
		return nil, nil
	}
	a := &audit{log: log}
	var err error
	a.file, err = auditlog.Open(cfg.AuditLog, func(err error) {
		if err != nil {
			log.Error("the audit log cannot be written; calls continue without it", slog.Any("error", err))
			health.SetServingStatus(auditHealth, healthpb.HealthCheckResponse_NOT_SERVING)
			return
		}
		log.Info("the audit log is written again")
		health.SetServingStatus(auditHealth, healthpb.HealthCheckResponse_SERVING)
	})
	if err != nil {
		return nil, badFlag("audit-log", "%w", err)
	}
	health.SetServingStatus(auditHealth, healthpb.HealthCheckResponse_SERVING)
	return a, nil
}

// auditor returns the Auditor of the interceptors.
func (a *audit) auditor() *interceptor.Auditor {
	if a == nil {
		return nil
	}
	return &interceptor.Auditor{Write: a.write}
}

// write writes a record as a line.
func (a *audit) write(r *interceptor.AuditRecord) {
	if r.IsFlood() && !a.rate.Allow() {
		a.leftOut.Add(1)
		return
	}
	r.LeftOut = a.leftOut.Swap(0)
	line, err := json.Marshal(r)
	if err != nil {
		a.log.Error("an audit record cannot be written", slog.String("method", r.RPC), slog.Any("error", err))
		return
	}
	a.file.Append(append(line, '\n'))
}

// leaveOut counts a refusal that is not recorded.
func (a *audit) leaveOut() {
	if a != nil {
		a.leftOut.Add(1)
	}
}

// refused records an HTTP request that was refused before it became a call.
func (a *audit) refused(r *http.Request, err error) {
	path := r.URL.Path
	if len(path) > maxAuditedPath {
		path = path[:maxAuditedPath] + "…"
	}
	a.auditor().Refuse(r.Context(), r.RemoteAddr, r.Method+" "+path, err)
}

// maxAuditedPath is the maximum length in bytes of a path in the audit log.
const maxAuditedPath = 128

// run writes the backlog until the context ends. SIGHUP, which log rotation sends,
// reopens the file.
func (a *audit) run(ctx context.Context) {
	if a == nil {
		return
	}
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGHUP)
	defer signal.Stop(reopen)
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.file.Run(ctx)
	}()
	for {
		select {
		case <-done:
			return
		case <-reopen:
			if err := a.file.Reopen(); err != nil {
				a.log.Warn("the audit log cannot be reopened, the old file stays in use", slog.Any("error", err))
			}
		}
	}
}

// close writes the last lines.
func (a *audit) close() error {
	if a == nil {
		return nil
	}
	return a.file.Close()
}
