package main

import (
	"context"
	"sync"
	"time"

	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// tunnelWatcher keeps the health of tunneled Viewers known for as long as they
// are there. It looks for new ones as often as the health of others is checked,
// and at once when this server hears of one.
type tunnelWatcher struct {
	fleet       *fleet.Fleet
	health      *healthServer
	newWatcher  func(*fleet.Viewer) *watcher
	dropMetrics func(viewer string) // drops what is measured of one that has gone
	interval    time.Duration

	watching sync.WaitGroup
	known    map[*fleet.Viewer]context.CancelFunc
}

// run looks until the context ends, and then waits for what it has begun.
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

// reconcile begins to watch those that have come, and ends it for those that have
// gone.
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
