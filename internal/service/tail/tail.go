// Package tail serves the live streams: TailMetrics, TailLogs and WatchExperiments.
//
// It uses the timers of package time, which tests replace by testing/synctest.
package tail

import (
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Config holds what live streams depend on.
type Config struct {
	Fleet *fleet.Fleet
	// Index answers what filters and metric names need beyond lists.
	Index *search.Index
	// Hub follows runs.
	Hub *follow.Hub
	// Budget limits the histories that are buffered to be downsampled.
	Budget *points.Budget
	// Drain ends streams when the server shuts down.
	Drain *drain.Signal
	// ObserveLag is called with the age in seconds of the newest point of a live batch
	// when the batch is first encoded; may be nil. It must not block.
	ObserveLag func(seconds float64)
}

// Service serves the live streams: TailMetrics, TailLogs and WatchExperiments.
type Service struct {
	config      Config
	resolver    target.Resolver
	selector    runs.Selector
	listPollers *listPollers
}

// New returns the service.
func New(c Config) *Service {
	resolver := target.Resolver{Fleet: c.Fleet}
	return &Service{
		config: c, resolver: resolver, selector: runs.Selector{Resolver: resolver, Index: c.Index},
		listPollers: &listPollers{},
	}
}
