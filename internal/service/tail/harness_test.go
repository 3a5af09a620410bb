package tail

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/cpugate"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
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
	viewer func(*demotest.Config)
	// loopback puts real connections between the server and the Viewers.
	loopback bool
}

// register adds the service, with what a test changes of its Config, and the other methods of the same services.
func register(change func(*Config)) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Index: d.Index, Hub: d.Hub, Budget: points.NewBudget(0), Drain: drain.New(nil)}
		if change != nil {
			change(&c)
		}
		tails := New(c)
		runicornapiv1.RegisterExperimentServiceServer(r, &experimentServer{
			Service: experiments.New(experiments.Config{Fleet: c.Fleet, Index: c.Index}), tailService: tails,
		})
		runicornapiv1.RegisterMetricServiceServer(r, &metricServer{
			Service: metrics.New(metrics.Config{Fleet: c.Fleet, Cache: d.Cache, Index: d.Index, CPUGate: cpugate.NewGate(runtime.GOMAXPROCS(0)), Budget: c.Budget, Drain: c.Drain}), tailService: tails,
		})
	}
}

func newHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// bubbleStart is what the clock of a bubble is set to, which begins before the sample runs.
var bubbleStart = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

// newHarnessWith is newHarness with changes. Unless it is on loopback, it is for tests in a
// bubble of testing/synctest: their clock continues when all wait, so that they take no time
// and no machine is too slow for them.
func newHarnessWith(tb testing.TB, s setup, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	setup := servicetest.Setup{Register: register(s.config), Client: s.client, Viewer: s.viewer, Network: &servicetest.Network{}}
	if s.loopback {
		setup.Network = nil
	} else {
		time.Sleep(time.Until(bubbleStart)) //nolint:forbidigo // the clock of the bubble
	}
	return servicetest.New(tb, setup, generations...)
}

// step is a part of a test in a bubble, where subtests cannot be.
func step(t *testing.T, name string, do func()) {
	t.Helper()
	failed := t.Failed()
	if do(); t.Failed() && !failed {
		t.Logf("in the step %q", name)
	}
}

// onEach runs a test in separate bubbles with a Viewer of each generation, by default of
// all.
func onEach(t *testing.T, s setup, test func(t *testing.T, h *servicetest.Harness, u *servicetest.Upstream), generations ...demotest.Generation) {
	t.Helper()
	if len(generations) == 0 {
		generations = demotest.Generations()
	}
	for _, g := range generations {
		t.Run(string(g), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHarnessWith(t, s, g)
				test(t, h, h.Upstreams[0])
			})
		})
	}
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

// tailService is an alias, because fields of one struct cannot have the same name.
type tailService = Service

// experimentServer is ExperimentService with live streams.
type experimentServer struct {
	*experiments.Service
	*tailService
}

// metricServer is MetricService with live streams.
type metricServer struct {
	*metrics.Service
	*tailService
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
