package rig

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"
)

// HealthPause is the time between two checks of WatchHealth.
const HealthPause = 5 * time.Millisecond

// IdleHealth returns the p99 of WatchHealth without other calls: the part of the figure
// that the machine and its other processes cause.
func (f *Front) IdleHealth(ctx context.Context) time.Duration {
	watch := f.WatchHealth(ctx)
	_ = Pause(ctx, 2*time.Second)
	return Quantile(append(watch(), 0), 0.99)
}

// WatchHealth checks the server's health until the returned function is called, which
// returns the latencies. A failed check is recorded as ten seconds, so that failures do
// not improve the figures.
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
			_ = Pause(ctx, HealthPause)
		}
		done <- times
	}()
	return func() []time.Duration {
		cancel()
		return <-done
	}
}

// Crowd does work behind a heavy proxy while the server's health is checked, and returns
// a summary.
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
