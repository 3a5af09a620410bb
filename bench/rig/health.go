package rig

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// HealthPause is the time between two questions of WatchHealth.
const HealthPause = 5 * time.Millisecond

// IdleHealth is the p99 of WatchHealth while nobody else asks anything: what
// the machine itself, and whatever else runs on it, have to do with the figure.
func (f *Front) IdleHealth(ctx context.Context) time.Duration {
	watch := f.WatchHealth(ctx)
	select {
	case <-time.After(2 * time.Second):
	case <-ctx.Done():
	}
	return Quantile(append(watch(), 0), 0.99)
}

// WatchHealth asks the server how it is until the function that it returns is
// called, which returns how long each answer took. Failed ones count as ten
// seconds: they must not make the figures better.
func (f *Front) WatchHealth(ctx context.Context) func() []time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan []time.Duration)
	go func() {
		var times []time.Duration
		for ctx.Err() == nil {
			start := time.Now()
			_, err := f.Health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
			switch {
			case err == nil:
				times = append(times, time.Since(start))
			case ctx.Err() == nil:
				times = append(times, 10*time.Second)
			}
			select {
			case <-time.After(HealthPause):
			case <-ctx.Done():
			}
		}
		done <- times
	}()
	return func() []time.Duration {
		cancel()
		return <-done
	}
}

// Crowd does some work behind a heavy proxy while the server is asked how it is, and says how it was.
func (f *Front) Crowd(ctx context.Context, h *Heavy, work func() error) (string, error) {
	const unit = 100 * time.Microsecond
	idle := f.IdleHealth(ctx)
	watch := f.WatchHealth(ctx)
	err := work()
	health := watch()
	calls, most, files := h.Most()
	return fmt.Sprintf("health of the server p99 %v of %d (goal: 50ms; idle: %v), %d heavy calls, %d at once (allowed: 2), %d parts of files at once",
		Quantile(health, 0.99).Round(unit), len(health), idle.Round(unit), calls, most, files), err
}
