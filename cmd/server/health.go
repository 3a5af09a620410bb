package main

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// watchGrace is how long watches of the health stay open during a drain, so that they
// receive the change before their streams end.
const watchGrace = 200 * time.Millisecond

// healthServer reports whether the server serves ("" and each service), which fails only
// during a drain, and whether each Viewer does ("viewer/NAME").
type healthServer struct {
	*health.Server
	watchCtx      context.Context //nolint:containedctx // the life of the watches, which no single call has
	cancelWatches context.CancelFunc
}

func newHealthServer() *healthServer {
	h := &healthServer{Server: health.NewServer()}
	h.watchCtx, h.cancelWatches = context.WithCancel(context.Background())
	return h
}

// register adds the health service to a server that has all other services, and reports
// those as serving.
func (h *healthServer) register(server *grpc.Server) {
	for name := range server.GetServiceInfo() {
		h.SetServingStatus(name, healthpb.HealthCheckResponse_SERVING)
	}
	healthpb.RegisterHealthServer(server, h)
}

// drain reports NOT_SERVING, and ends the watches, which would not end by themselves.
func (h *healthServer) drain() {
	h.Shutdown()
	time.AfterFunc(watchGrace, h.cancelWatches)
}

// maxServiceName is the maximum length of the name in a health check, which needs no
// token.
const maxServiceName = 256

// hidden is a health service name that no Viewer has.
const hidden = viewerPrefix

// visible returns the service name to look up for a caller. A Viewer that does not exist
// for the caller gets the name of no Viewer. Unauthenticated callers get an error.
func visible(ctx context.Context, service string) (string, error) {
	viewer, isViewer := strings.CutPrefix(service, viewerPrefix)
	if !isViewer {
		return service, nil
	}
	if !fleet.Visible(ctx, viewer) {
		service = hidden
	}
	return service, interceptor.Admit(ctx)
}

// Check returns the status of a service.
func (h *healthServer) Check(ctx context.Context, req *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	service, err := visible(ctx, req.GetService())
	if err != nil {
		return nil, err
	}
	return h.Server.Check(ctx, &healthpb.HealthCheckRequest{Service: service})
}

// List returns every status that the caller may see.
func (h *healthServer) List(ctx context.Context, req *healthpb.HealthListRequest) (*healthpb.HealthListResponse, error) {
	list, err := h.Server.List(ctx, req)
	maps.DeleteFunc(list.GetStatuses(), func(service string, _ *healthpb.HealthCheckResponse) bool {
		shown, err := visible(ctx, service)
		return err != nil || shown != service
	})
	return list, err
}

// Watch streams a status until the client disconnects or the server drains.
func (h *healthServer) Watch(req *healthpb.HealthCheckRequest, stream grpc.ServerStreamingServer[healthpb.HealthCheckResponse]) error {
	if len(req.GetService()) > maxServiceName {
		return status.Errorf(codes.InvalidArgument, "service must not be longer than %d bytes", maxServiceName)
	}
	service, err := visible(stream.Context(), req.GetService())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	defer context.AfterFunc(h.watchCtx, cancel)()
	err = h.Server.Watch(&healthpb.HealthCheckRequest{Service: service}, &boundStream{stream, ctx})
	if h.watchCtx.Err() != nil {
		return status.Error(codes.Unavailable, "this server is shutting down")
	}
	return err
}

// boundStream is a stream with a context that may end earlier.
type boundStream struct {
	grpc.ServerStreamingServer[healthpb.HealthCheckResponse]
	ctx context.Context //nolint:containedctx // a stream has one
}

// Context returns that context.
func (s *boundStream) Context() context.Context { return s.ctx }

// watcher checks the health of one Viewer. It uses the Viewer's background share, so that
// a busy Viewer is checked less often.
type watcher struct {
	viewer   *fleet.Viewer
	health   *healthServer
	up       prometheus.Gauge
	interval time.Duration
}

// run checks until the context ends.
func (w *watcher) run(ctx context.Context) {
	serving := healthpb.HealthCheckResponse_UNKNOWN
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		now := w.probe(ctx, serving)
		if ctx.Err() != nil {
			return
		}
		if now != serving {
			serving = now
			w.publish(now)
		}
		timer.Reset(w.interval)
	}
}

// probe makes one health check. A Viewer does not answer for up to two minutes while it
// makes an SSH connection; its status does not change then.
func (w *watcher) probe(ctx context.Context, was healthpb.HealthCheckResponse_ServingStatus) healthpb.HealthCheckResponse_ServingStatus {
	busy := w.viewer.Client.Busy()
	err := w.viewer.Client.Background(ctx, "health", func(ctx context.Context) error {
		_, err := w.viewer.Client.Health(ctx)
		return err
	})
	switch {
	case err == nil:
		return healthpb.HealthCheckResponse_SERVING
	case busy || w.viewer.Client.Busy():
		return was
	}
	return healthpb.HealthCheckResponse_NOT_SERVING
}

// publish sets the status; restclient logs changes. After the drain has begun, the health
// server ignores it.
func (w *watcher) publish(now healthpb.HealthCheckResponse_ServingStatus) {
	w.health.SetServingStatus(viewerHealth(w.viewer.Name), now)
	if now == healthpb.HealthCheckResponse_SERVING {
		w.up.Set(1)
		return
	}
	w.up.Set(0)
}

// viewerHealth returns the health service name of a Viewer.
func viewerHealth(viewer string) string { return viewerPrefix + viewer }

const viewerPrefix = "viewer/"
