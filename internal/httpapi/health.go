package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// probeTimeout is how long a probe may take; health is answered from memory.
const probeTimeout = 2 * time.Second

// Health is the gRPC health service.
type Health interface {
	Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error)
}

// probes answers /healthz and /readyz from the gRPC health service itself, without a
// call, so that gRPC and HTTP always say the same, however many calls are open. The server's own health fails
// only while it drains; that of a Viewer is asked for by name.
type probes struct {
	health  Health
	refused func(r *http.Request, err error)
	log     *slog.Logger
}

// healthz says whether this server serves.
func (p *probes) healthz(w http.ResponseWriter, r *http.Request) {
	p.server(w, r, map[string]string{})
}

// server answers for the server itself. Answer is what is said beside its status.
func (p *probes) server(w http.ResponseWriter, r *http.Request, answer map[string]string) {
	serving, err := p.check(r.Context(), "")
	if !serving || err != nil {
		writeError(w, newAPIError(http.StatusServiceUnavailable, codes.Unavailable,
			runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING, "this server is shutting down", nil))
		return
	}
	p.serving(w, r, answer)
}

// readyz says the same, or with ?viewer=NAME whether that Viewer answers.
func (p *probes) readyz(w http.ResponseWriter, r *http.Request) {
	viewer := r.URL.Query().Get("viewer")
	if viewer == "" {
		p.server(w, r, p.warnings(r.Context()))
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
			fmt.Sprintf("viewer %s does not answer; /v1/viewers/%s says more", viewer, viewer), metadata))
	default:
		p.serving(w, r, map[string]string{})
	}
}

// warnings are what does not work while calls are served: the audit log, if it cannot be
// written.
func (p *probes) warnings(ctx context.Context) map[string]string {
	answer := map[string]string{}
	if works, err := p.check(ctx, "audit_log"); err == nil && !works {
		answer["audit_log"] = healthpb.HealthCheckResponse_NOT_SERVING.String()
	}
	return answer
}

// check asks the health service.
func (p *probes) check(ctx context.Context, service string) (serving bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := p.health.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return resp.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}

// refuse answers a caller without the authority.
func (p *probes) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p.refused(r, err)
	if f, ok := fromError(err); ok {
		writeError(w, f)
	}
}

func (p *probes) serving(w http.ResponseWriter, r *http.Request, answer map[string]string) {
	answer["status"] = healthpb.HealthCheckResponse_SERVING.String()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.log.DebugContext(r.Context(), "client disconnected", slog.Any("error", err))
	}
}
