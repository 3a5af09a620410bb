package viewers

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// newHarness is our server with this service before demo Viewers.
func newHarness(tb testing.TB, change func(*Config), generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: register(change)}, generations...)
}

func register(change func(*Config)) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Index: d.Index}
		if change != nil {
			change(&c)
		}
		runicornapiv1.RegisterViewerServiceServer(r, New(c))
	}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
