// Package service translates between the contract and the Viewers. It has one package per
// gRPC service, and one each for live streams and exports.
//
// It must not use net/http, URLs or HTTP status codes; those stay in restclient. A call
// passes the interceptors that interceptor.Chain lists, and reaches a method that calls a
// Viewer's client, converts and returns. A plain error becomes a status with details by
// the table of errmap. Methods do no more than that: other work has a file that is named
// for it, and what several services need has a package.
package service

import (
	"runtime"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/artifacts"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/experiments"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/exports"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/metrics"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/remote"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/tail"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/viewers"
)

// Config holds what the services depend on. Fleet, Cache, Index and Hub are required.
type Config struct {
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runcache.Cache
	// Index answers what filters and orders need beyond lists, and has statistics of the
	// metrics of all runs.
	Index *search.Index
	// Hub follows runs for live streams. Its HubConfig.ClassifyError should be source.ClassifyError.
	Hub *follow.Hub
	// StreamBytes is the maximum memory of histories that are buffered to be merged or
	// downsampled, over all streams; 256 MiB if 0.
	StreamBytes int64
	// TempBytes is the maximum total size of the temporary files of all exports; 2 GiB if
	// 0.
	TempBytes int64
	// ObserveLag is called with the age in seconds of the newest point of a live batch
	// when the batch is first encoded; may be nil. It must not block.
	ObserveLag func(seconds float64)
	// AllowConfigWrites permits UpdateConfig.
	AllowConfigWrites bool
	// DisablePurge makes PurgeExperiments fail. It is set if the server listens beyond
	// loopback and the operator has not enabled it.
	DisablePurge bool
	// Remote is what callers may have Viewers do over SSH.
	Remote remote.Policy
	// Draining is closed when the server begins to shut down: live streams then
	// end with SERVER_DRAINING. Nil means never.
	Draining <-chan struct{}

	// CPUGate bounds the computing of exports and histories; nil means a gate for all
	// processors.
	CPUGate *cpugate.Gate
}

// Register adds the five services to a server. The server must use interceptor.Chain:
// errors of the services are plain errors.
func Register(r grpc.ServiceRegistrar, d Config) {
	if d.CPUGate == nil {
		d.CPUGate = cpugate.NewGate(runtime.GOMAXPROCS(0))
	}
	streamBudget, drains := points.NewBudget(d.StreamBytes), drain.New(d.Draining)
	tails := tail.New(tail.Config{
		Fleet: d.Fleet, Index: d.Index, Hub: d.Hub, Budget: streamBudget, Drain: drains, ObserveLag: d.ObserveLag,
	})
	runicornapiv1.RegisterExperimentServiceServer(r, &experimentServer{
		Service:       experiments.New(experiments.Config{Fleet: d.Fleet, Index: d.Index, DisablePurge: d.DisablePurge}),
		exportService: exports.New(exports.Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: d.CPUGate, TempBytes: d.TempBytes}),
		tailService:   tails,
	})
	runicornapiv1.RegisterMetricServiceServer(r, &metricServer{
		Service:     metrics.New(metrics.Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: d.CPUGate, Budget: streamBudget, Drain: drains}),
		tailService: tails,
	})
	runicornapiv1.RegisterArtifactServiceServer(r, artifacts.New(d.Fleet))
	runicornapiv1.RegisterRemoteServiceServer(r, remote.New(remote.Config{Fleet: d.Fleet, Policy: d.Remote}))
	runicornapiv1.RegisterViewerServiceServer(r, viewers.New(viewers.Config{Fleet: d.Fleet, Index: d.Index, AllowConfigWrites: d.AllowConfigWrites}))
}

// Aliases, because fields of one struct cannot have the same name.
type (
	exportService = exports.Service
	tailService   = tail.Service
)

// experimentServer serves ExperimentService; its streams are in the packages exports and
// tail.
type experimentServer struct {
	*experiments.Service
	*exportService
	*tailService
}

// metricServer serves MetricService; its live stream is in package tail.
type metricServer struct {
	*metrics.Service
	*tailService
}
