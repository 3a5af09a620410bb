// Package tail serves the live streams: TailMetrics, TailLogs and WatchExperiments.
//
// It waits by timers, so its clock is that of package time, which tests replace by
// testing/synctest; there is no other.
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

// Config is what live streams work with.
type Config struct {
	Fleet *fleet.Fleet
	// Index knows what filters and metric names ask for beyond lists.
	Index *search.Index
	// Hub follows runs.
	Hub *follow.Hub
	// Budget bounds the histories that are held to be downsampled.
	Budget *points.Budget
	// Drain ends streams when the server shuts down.
	Drain *drain.Signal
	// ObserveLag hears how many seconds old the newest point of a live batch was
	// when it was first encoded; nil is allowed. It must be quick.
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
