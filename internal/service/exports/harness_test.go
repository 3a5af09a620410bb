package exports

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/metrics"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// setup is what a test may change of a harness.
type setup struct {
	config func(*Config)
	client func(*restclient.Config)
	viewer func(*demotest.Config)
	// returned is signalled when an export's method has returned; may be nil.
	returned chan<- struct{}
}

// register adds the service, with what a test changes of its Config, and the histories that wait for the same gate.
func register(s setup) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: cpugate.NewGate(runtime.GOMAXPROCS(0))}
		if s.config != nil {
			s.config(&c)
		}
		runicornapiv1.RegisterExperimentServiceServer(r, &server{exports: New(c), returned: s.returned})
		runicornapiv1.RegisterMetricServiceServer(r, metrics.New(metrics.Config{
			Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: c.CPUGate, Budget: points.NewBudget(0), Drain: drain.New(nil),
		}))
	}
}

func newHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// newHarnessWith is newHarness with changes.
func newHarnessWith(tb testing.TB, s setup, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: register(s), Client: s.client, Viewer: s.viewer}, generations...)
}

// server is ExperimentService with nothing but exports.
type server struct {
	runicornapiv1.UnimplementedExperimentServiceServer
	exports  *Service
	returned chan<- struct{}
}

// ExportExperiment exports.
func (s *server) ExportExperiment(req *runicornapiv1.ExportExperimentRequest, stream exportStream) error {
	if s.returned != nil {
		defer func() { s.returned <- struct{}{} }()
	}
	return s.exports.ExportExperiment(req, stream)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
