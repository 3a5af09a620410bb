package main

import (
	"context"
	"sync"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// tunnelWatcher checks the health of tunneled Viewers while they exist. It looks for new
// ones at the interval of health checks, and immediately when this server learns of one.
type tunnelWatcher struct {
	fleet       *fleet.Fleet
	health      *healthServer
	newWatcher  func(*fleet.Viewer) *watcher
	dropMetrics func(viewer string) // drops the metrics of a Viewer that was removed
	interval    time.Duration

	watching sync.WaitGroup
	known    map[*fleet.Viewer]context.CancelFunc
}

// run looks for Viewers until the context ends, then waits for its goroutines.
func (t *tunnelWatcher) run(ctx context.Context) {
	defer t.watching.Wait()
	t.known = make(map[*fleet.Viewer]context.CancelFunc)
	ticker := time.NewTicker(t.interval)
	defer ticker.Stop()
	for {
		changed := t.fleet.Changed()
		t.reconcile(ctx, t.fleet.All(ctx))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-changed:
		}
	}
}

// reconcile starts watchers of new Viewers, and stops those of removed ones.
func (t *tunnelWatcher) reconcile(ctx context.Context, viewers []*fleet.Viewer) {
	current := make(map[*fleet.Viewer]bool, len(viewers))
	for _, v := range viewers {
		current[v] = true
		if v.Parent == nil || t.known[v] != nil {
			continue
		}
		own, end := context.WithCancel(ctx)
		t.known[v] = end
		t.watching.Go(func() {
			t.newWatcher(v).run(own)
			t.health.SetServingStatus(viewerHealth(v.Name), healthpb.HealthCheckResponse_SERVICE_UNKNOWN)
			t.dropMetrics(v.Name)
		})
	}
	for v, end := range t.known {
		if !current[v] {
			end()
			delete(t.known, v)
		}
	}
}
