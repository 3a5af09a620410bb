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

// probeTimeout is how long a probe may take; health is answered from memory.
const probeTimeout = 2 * time.Second

// Health is the gRPC health service.
type Health interface {
	Check(ctx context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error)
	List(ctx context.Context, in *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error)
}

// probes answers /healthz and /readyz from the gRPC health service itself, without a
// call, so that gRPC and HTTP always say the same, however many calls are open. The server's own health fails
// only while it drains; that of a Viewer is asked for by name.
type probes struct {
	health Health
	log    *slog.Logger
}

// healthz says whether this server serves.
func (p *probes) healthz(w http.ResponseWriter, r *http.Request) {
	serving, err := p.check(r.Context(), "")
	if !serving || err != nil {
		writeError(w, newAPIError(http.StatusServiceUnavailable, codes.Unavailable,
			runicornapiv1.ErrorReason_ERROR_REASON_SERVER_DRAINING, "this server is shutting down", nil))
		return
	}
	p.serving(w, r)
}

// readiness is what /readyz answers. It names no Viewer: it needs no token.
type readiness struct {
	Status         string `json:"status"`
	Viewers        int    `json:"viewers"`
	ViewersServing int    `json:"viewers_serving"`
	Detail         string `json:"detail"`
}

// ready explains how the server is. A Viewer that does not answer makes it no less
// ready: another replica would not reach it either, and the other Viewers are served.
func (p *probes) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), probeTimeout)
	defer cancel()
	list, err := p.health.List(ctx, &healthpb.HealthListRequest{})
	if err != nil { // too many remote Viewers to list
		p.answer(w, r, map[string]string{"status": "SERVING"})
		return
	}
	answer := readiness{Status: "SERVING", Detail: "every viewer answers"}
	for name, s := range list.GetStatuses() {
		if !strings.HasPrefix(name, "viewer/") {
			continue
		}
		answer.Viewers++
		if s.GetStatus() == healthpb.HealthCheckResponse_SERVING {
			answer.ViewersServing++
		}
	}
	if missing := answer.Viewers - answer.ViewersServing; missing > 0 {
		answer.Detail = fmt.Sprintf("%d of %d viewers do not answer; /v1/viewers says which", missing, answer.Viewers)
	}
	p.answer(w, r, answer)
}

// readyz says the same and explains it, or with ?viewer=NAME whether that Viewer answers.
func (p *probes) readyz(w http.ResponseWriter, r *http.Request) {
	viewer := r.URL.Query().Get("viewer")
	if viewer == "" {
		if serving, err := p.check(r.Context(), ""); serving && err == nil {
			p.ready(w, r)
			return
		}
		p.healthz(w, r) // which says that the server drains
		return
	}
	serving, err := p.check(r.Context(), "viewer/"+viewer)
	metadata := map[string]string{"viewer": viewer}
	switch {
	case status.Code(err) == codes.NotFound:
		writeError(w, newAPIError(http.StatusNotFound, codes.NotFound, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_NOT_FOUND,
			fmt.Sprintf("no viewer is called %q; /v1/viewers lists them", viewer), metadata))
	case !serving || err != nil:
		writeError(w, newAPIError(http.StatusServiceUnavailable, codes.Unavailable, runicornapiv1.ErrorReason_ERROR_REASON_VIEWER_UNREACHABLE,
			fmt.Sprintf("viewer %s does not answer; /v1/viewers/%s says more", viewer, viewer), metadata))
	default:
		p.serving(w, r)
	}
}

// check asks the health service.
func (p *probes) check(ctx context.Context, service string) (serving bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	resp, err := p.health.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
	return resp.GetStatus() == healthpb.HealthCheckResponse_SERVING, err
}

func (p *probes) serving(w http.ResponseWriter, r *http.Request) {
	p.answer(w, r, map[string]string{"status": "SERVING"})
}

func (p *probes) answer(w http.ResponseWriter, r *http.Request, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		p.log.DebugContext(r.Context(), "client disconnected", slog.Any("error", err))
	}
}
