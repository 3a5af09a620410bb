// Package service is the translation between the contract and the Viewers:
// one file per gRPC service.
//
// It must not know net/http, URLs or status numbers of HTTP; those stay in
// restclient. A call comes in through the interceptors that interceptor.Chain
// lists, reaches a method that asks a Viewer's client, converts and returns, and
// its plain error is made a status with details by the table of errmap on the way
// out. Methods do no more than that: what they need besides has a file of
// its own, named for what it does.
package service

import (
	"cmp"
	"log/slog"
	"runtime"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/artifacts"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/remote"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/viewers"
)

// Config is what the services work with. Fleet, Cache and Hub are required.
type Config struct {
	// Fleet is the Viewers.
	Fleet *fleet.Fleet
	// Cache holds parsed runs.
	Cache *runlog.Cache
	// Hub follows runs for live streams. Its HubConfig.Judge should be ClassifyError.
	Hub *runlog.Hub
	// StreamBytes bounds the memory of histories that are buffered to be merged or
	// downsampled, over all streams; 256 MiB if 0.
	StreamBytes int64
	// TempBytes bounds the temporary files of all exports; 2 GiB if 0.
	TempBytes int64
	// ObserveLag hears how many seconds old the newest point of a live batch was
	// when it was first encoded; nil is allowed. It must be quick.
	ObserveLag func(seconds float64)
	// Log takes what callers must not see, such as the causes of internal errors.
	Log *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
	// AllowConfigWrites permits UpdateConfig.
	AllowConfigWrites bool
	// DisablePurge turns PurgeExperiments off; it is so beyond loopback.
	DisablePurge bool
	// Remote is what callers may have Viewers do over SSH.
	Remote remote.Policy
	// Draining is closed when the server begins to shut down: live streams then
	// end with SERVER_DRAINING. Nil means never.
	Draining <-chan struct{}

	// What Register makes of the above.
	resolver    target.Resolver
	reader      source.Reader
	listPollers *listPollers
	streamBytes *budget
	drain       *drainSignal
	cpuGate     *cpugate.Gate // of exports and histories; tests bring a narrow one
}

// Register adds the five services to a server. Their errors are plain until
// the interceptors of interceptor.Chain have seen them.
func Register(r grpc.ServiceRegistrar, d Config) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.cpuGate == nil {
		d.cpuGate = cpugate.NewGate(runtime.GOMAXPROCS(0))
	}
	d.resolver = target.Resolver{Fleet: d.Fleet}
	d.reader = source.Reader{Cache: d.Cache, Gate: d.cpuGate}
	d.listPollers, d.drain = &listPollers{}, newDrainSignal(d.Draining)
	d.streamBytes = &budget{max: cmp.Or(d.StreamBytes, defaultStreamBytes)}
	kept := newKeptFiles(d.Now)
	runicornapiv1.RegisterExperimentServiceServer(r, &experimentService{
		Config: d, kept: kept,
		space: &tempSpace{max: cmp.Or(d.TempBytes, defaultTempBytes), makeRoom: kept.makeRoom},
	})
	runicornapiv1.RegisterMetricServiceServer(r, &metricService{Config: d})
	runicornapiv1.RegisterArtifactServiceServer(r, artifacts.New(artifacts.Config{Fleet: d.Fleet}))
	runicornapiv1.RegisterRemoteServiceServer(r, remote.New(remote.Config{Fleet: d.Fleet, Policy: d.Remote}))
	runicornapiv1.RegisterViewerServiceServer(r, viewers.New(viewers.Config{Fleet: d.Fleet, Now: d.Now, AllowConfigWrites: d.AllowConfigWrites}))
}
