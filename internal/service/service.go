// Package service is the translation between the contract and the Viewers:
// one package per gRPC service, and one each for live streams and exports.
//
// It must not know net/http, URLs or status numbers of HTTP; those stay in
// restclient. A call comes in through the interceptors that interceptor.Chain
// lists, reaches a method that asks a Viewer's client, converts and returns, and
// its plain error is made a status with details by the table of errmap on the way
// out. Methods do no more than that: what they need besides has a file of
// its own, named for what it does, and what several services need a package.
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

// Config is what the services work with. Fleet, Cache, Index and Hub are required.
type Config struct {
	// Fleet is the Viewers.
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runcache.Cache
	// Index knows sums of the metrics of all runs, and what else filters and orders ask for.
	Index *search.Index
	// Hub follows runs for live streams. Its HubConfig.ClassifyError should be source.ClassifyError.
	Hub *follow.Hub
	// StreamBytes bounds the memory of histories that are buffered to be merged or
	// downsampled, over all streams; 256 MiB if 0.
	StreamBytes int64
	// TempBytes bounds the temporary files of all exports; 2 GiB if 0.
	TempBytes int64
	// ObserveLag hears how many seconds old the newest point of a live batch was
	// when it was first encoded; nil is allowed. It must be quick.
	ObserveLag func(seconds float64)
	// AllowConfigWrites permits UpdateConfig.
	AllowConfigWrites bool
	// DisablePurge turns PurgeExperiments off; it is so beyond loopback.
	DisablePurge bool
	// Remote is what callers may have Viewers do over SSH.
	Remote remote.Policy
	// Draining is closed when the server begins to shut down: live streams then
	// end with SERVER_DRAINING. Nil means never.
	Draining <-chan struct{}

	// CPUGate bounds what exports and histories compute; nil means one for all
	// processors.
	CPUGate *cpugate.Gate
}

// Register adds the five services to a server. Their errors are plain until
// the interceptors of interceptor.Chain have seen them.
func Register(r grpc.ServiceRegistrar, d Config) {
	if d.CPUGate == nil {
		d.CPUGate = cpugate.NewGate(runtime.GOMAXPROCS(0))
	}
	streamBudget, drains := points.NewBudget(d.StreamBytes), drain.New(d.Draining)
	tails := tail.New(tail.Config{
		Fleet: d.Fleet, Index: d.Index, Hub: d.Hub, Budget: streamBudget, Drain: drains, ObserveLag: d.ObserveLag,
	})
	runicornapiv1.RegisterExperimentServiceServer(r, &experimentServer{
		Service: experiments.New(experiments.Config{Fleet: d.Fleet, Index: d.Index, DisablePurge: d.DisablePurge}),
		exports: exports.New(exports.Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: d.CPUGate, TempBytes: d.TempBytes}),
		tails:   tails,
	})
	runicornapiv1.RegisterMetricServiceServer(r, &metricServer{
		Service: metrics.New(metrics.Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: d.CPUGate, Budget: streamBudget, Drain: drains}),
		tails:   tails,
	})
	runicornapiv1.RegisterArtifactServiceServer(r, artifacts.New(artifacts.Config{Fleet: d.Fleet}))
	runicornapiv1.RegisterRemoteServiceServer(r, remote.New(remote.Config{Fleet: d.Fleet, Policy: d.Remote}))
	runicornapiv1.RegisterViewerServiceServer(r, viewers.New(viewers.Config{Fleet: d.Fleet, Index: d.Index, AllowConfigWrites: d.AllowConfigWrites}))
}

// experimentServer is ExperimentService, whose streams are in packages of their own.
type experimentServer struct {
	*experiments.Service
	exports *exports.Service
	tails   *tail.Service
}

// WatchExperiments is served by tail.
func (s *experimentServer) WatchExperiments(req *runicornapiv1.WatchExperimentsRequest, stream grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]) error {
	return s.tails.WatchExperiments(req, stream)
}

// TailLogs is served by tail.
func (s *experimentServer) TailLogs(req *runicornapiv1.TailLogsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error {
	return s.tails.TailLogs(req, stream)
}

// ExportExperiment is served by exports.
func (s *experimentServer) ExportExperiment(req *runicornapiv1.ExportExperimentRequest, stream grpc.ServerStreamingServer[runicornapiv1.ExportExperimentResponse]) error {
	return s.exports.ExportExperiment(req, stream)
}

// metricServer is MetricService, whose live stream is in a package of its own.
type metricServer struct {
	*metrics.Service
	tails *tail.Service
}

// TailMetrics is served by tail.
func (s *metricServer) TailMetrics(req *runicornapiv1.TailMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	return s.tails.TailMetrics(req, stream)
}
