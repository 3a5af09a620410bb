package metrics

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
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// setup is what a test may change of a harness.
type setup struct {
	config func(*Config)
	client func(*restclient.Config)
	viewer func(*demotest.Config)
}

// register adds the service, with what a test changes of its Config.
func register(change func(*Config)) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: cpugate.NewGate(runtime.GOMAXPROCS(0)), Budget: points.NewBudget(0), Drain: drain.New(nil)}
		if change != nil {
			change(&c)
		}
		runicornapiv1.RegisterMetricServiceServer(r, New(c))
	}
}

func newHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// newHarnessWith is newHarness with changes.
func newHarnessWith(tb testing.TB, s setup, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: register(s.config), Client: s.client, Viewer: s.viewer}, generations...)
}

// newTailHarness is newHarness with Viewers whose share does not make tests wait.
func newTailHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{client: func(c *restclient.Config) { c.Share = 1 }}, generations...)
}

// replica is another server in front of the same Viewers.
func replica(tb testing.TB, h *servicetest.Harness, change func(*Config)) *servicetest.Harness {
	tb.Helper()
	return h.Replica(tb, register(change))
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
