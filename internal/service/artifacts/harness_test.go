package artifacts

import (
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// newHarness is our server with this service before demo Viewers.
func newHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: func(r grpc.ServiceRegistrar, d servicetest.Config) {
		runicornapiv1.RegisterArtifactServiceServer(r, New(d.Fleet))
	}}, generations...)
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
