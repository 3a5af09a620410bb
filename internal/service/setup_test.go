package service

import (
	"testing"

	"google.golang.org/grpc"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/servicetest"
)

// setup is what a test may change of a harness with all services.
type setup struct {
	config func(*Config)
	client func(*restclient.Config)
	viewer func(*demotest.Config)
	auth   *interceptor.Authorizer
}

// register adds all services, with what a test changes of their Config.
func register(change func(*Config)) servicetest.RegisterFunc {
	return func(r grpc.ServiceRegistrar, d servicetest.Config) {
		c := Config{Fleet: d.Fleet, Cache: d.Cache, Index: d.Index, Hub: d.Hub}
		if change != nil {
			change(&c)
		}
		Register(r, c)
	}
}

func newHarness(tb testing.TB, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// newHarnessWith is newHarness with changes.
func newHarnessWith(tb testing.TB, s setup, generations ...demotest.Generation) *servicetest.Harness {
	tb.Helper()
	return servicetest.New(tb, servicetest.Setup{Register: register(s.config), Client: s.client, Viewer: s.viewer, Auth: s.auth}, generations...)
}
