package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// probeTimeout is the maximum duration of a probe; health is answered from memory.
const probeTimeout = 2 * time.Second

// Health is the gRPC health service.
type Health interface {
	Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error)
	List(ctx context.Context, in *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error)
}

// probes answers /healthz and /readyz from the gRPC health service. It does so without a
// call, so that gRPC and HTTP agree even if all call slots are taken. The server's own
// health fails only while it drains; the health of a Viewer is selected by name.
type probes struct {
	health  Health
	refused func(r *http.Request, err error)
	log     *slog.Logger
}

// healthz reports whether this server serves.
func (p *probes) healthz(w http.ResponseWriter, r *http.Request) {
	p.server(w, r, readiness{})
}

// server answers for the server itself; answer is the body if it serves.
func (p *probes) server(w http.ResponseWriter, r *http.Request, answer readiness) {
	serving, err := p.check(r.Context(), "")
	if !serving || err != nil {
		writeError(w, newAPIError(http.StatusServiceUnavailable, codes.Unavailable,
			runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING, "this server is shutting down", nil))
		return
	}
	p.serving(w, r, answer)
}

// readyz adds the reasons to healthz, or with ?viewer=NAME reports whether that Viewer
// answers.
func (p *probes) readyz(w http.ResponseWriter, r *http.Request) {
	viewer := r.URL.Query().Get("viewer")
	if viewer == "" {
		p.server(w, r, p.explain(r.Context()))
		return
	}
	serving, err := p.check(r.Context(), "viewer/"+viewer)
	metadata := map[string]string{"viewer": viewer}
	switch {
	case status.Code(err) == codes.Unauthenticated:
		p.refuse(w, r, err)
	case status.Code(err) == codes.NotFound:
		p.refused(r, err)
		writeError(w, newAPIError(http.StatusNotFound, codes.NotFound, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_NOT_FOUND,
			fmt.Sprintf("no viewer is called %q; /v1/viewers lists them", viewer), metadata))
	case !serving || err != nil:
		writeError(w, newAPIError(http.StatusServiceUnavailable, codes.Unavailable, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_UNREACHABLE,
			fmt.Sprintf("viewer %s does not answer; /v1/viewers/%s has details", viewer, viewer), metadata))
	default:
		p.serving(w, r, readiness{})
	}
}

// readiness is the body of probes. It names no Viewer, as probes need no token. The
// counts are those of the Viewers that the caller may see.
type readiness struct {
	Status         string `json:"status"`
	Viewers        int    `json:"viewers,omitempty"`
	ViewersServing *int   `json:"viewers_serving,omitempty"`
	Detail         string `json:"detail,omitempty"`
	AuditLog       string `json:"audit_log,omitempty"` // only if it cannot be written
}

// explain describes what does not work although the server is ready. A Viewer that does
// not answer does not affect readiness: another replica could not reach it either, and
// the other Viewers are served.
func (p *probes) explain(ctx context.Context) (answer readiness) {
	if works, err := p.check(ctx, "audit_log"); err == nil && !works {
		answer.AuditLog = healthpb.HealthCheckResponse_NOT_SERVING.String()
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	list, err := p.health.List(ctx, &healthpb.HealthListRequest{})
	if err != nil {
		return answer // too many remote Viewers to list
	}
	serving := 0
	for name, s := range list.GetStatuses() {
		if !strings.HasPrefix(name, "viewer/") {
			continue
		}
		answer.Viewers++
		if s.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			serving++
		}
	}
	if missing := answer.Viewers - serving; missing > 0 {
		answer.Detail = fmt.Sprintf("%d of %d viewers do not answer; /v1/viewers lists them", missing, answer.Viewers)
	}
	if answer.Viewers > 0 {
		answer.ViewersServing = &serving
	}
	return answer
}

// check calls the health service.
func (p *probes) check(ctx context.Context, service string) (serving bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := p.health.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return resp.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}

// refuse answers a caller that lacks the required authority.
func (p *probes) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p.refused(r, err)
	if f, ok := fromError(err); ok {
		writeError(w, f)
	}
}

func (p *probes) serving(w http.ResponseWriter, r *http.Request, answer readiness) {
	answer.Status = healthpb.HealthCheckResponse_SERVING.String()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.log.DebugContext(r.Context(), "client disconnected", slog.Any("error", err))
	}
}
