package tail

import (
	"runtime"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/experiments"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/metrics"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// setup is what a test may change of a harness.
type setup struct {
	config func(*Config)
	client func(*restclient.Config)
	viewer func(*demoviewer.Config)
}

// register adds the service, with what a test changes of its Config, and the other methods of the same services.
func register(change func(*Config)) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Hub: d.Hub, Budget: points.NewBudget(0), Drain: drain.New(nil)}
		if change != nil {
			change(&c)
		}
		tails := New(c)
		runicornapiv1.RegisterExperimentServiceServer(r, &experimentServer{
			Service: experiments.New(experiments.Config{Fleet: c.Fleet, Now: time.Now}), tails: tails,
		})
		runicornapiv1.RegisterMetricServiceServer(r, &metricServer{
			Service: metrics.New(metrics.Config{Fleet: c.Fleet, Cache: d.Cache, CPUGate: cpugate.NewGate(runtime.GOMAXPROCS(0)), Budget: c.Budget, Drain: c.Drain}), tails: tails,
		})
	}
}

func newHarness(tb testing.TB, generations ...demoviewer.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// newHarnessWith is newHarness with changes.
func newHarnessWith(tb testing.TB, s setup, generations ...demoviewer.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: register(s.config), Client: s.client, Viewer: s.viewer}, generations...)
}

// newTailHarness is newHarness with Viewers whose share does not make tests wait.
func newTailHarness(tb testing.TB, generations ...demoviewer.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{client: func(c *restclient.Config) { c.Share = 1 }}, generations...)
}

// replica is another server in front of the same Viewers.
func replica(tb testing.TB, h *servicetest.Harness, change func(*Config)) *servicetest.Harness {
	tb.Helper()
	return h.Replica(tb, register(change))
}

// experimentServer is ExperimentService with live streams.
type experimentServer struct {
	*experiments.Service
	tails *Service
}

// WatchExperiments is served by tail.
func (s *experimentServer) WatchExperiments(req *runicornapiv1.WatchExperimentsRequest, stream grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]) error {
	return s.tails.WatchExperiments(req, stream)
}

// TailLogs is served by tail.
func (s *experimentServer) TailLogs(req *runicornapiv1.TailLogsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error {
	return s.tails.TailLogs(req, stream)
}

// metricServer is MetricService with live streams.
type metricServer struct {
	*metrics.Service
	tails *Service
}

// TailMetrics is served by tail.
func (s *metricServer) TailMetrics(req *runicornapiv1.TailMetricsRequest, stream tailStream) error {
	return s.tails.TailMetrics(req, stream)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
