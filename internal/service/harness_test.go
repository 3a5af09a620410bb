package service

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
)

// harness is the whole way of a call: clients of every service, our server
// with its interceptors in their order behind an in-memory connection, and
// behind it one demo Viewer per generation, each over real HTTP.
type harness struct {
	experiments runicornapiv1.ExperimentServiceClient
	metrics     runicornapiv1.MetricServiceClient
	artifacts   runicornapiv1.ArtifactServiceClient
	remote      runicornapiv1.RemoteServiceClient
	viewers     runicornapiv1.ViewerServiceClient

	conn   *grpc.ClientConn
	config Config
	// upstreams are in the order of the generations; the first is the default.
	upstreams []*upstream
}

// upstream is one demo Viewer with a switch before it.
type upstream struct {
	*demoviewer.Viewer
	// name is what requests call it: "v053", "v060", "v072"; a second one of
	// a generation is "v072-2".
	name   string
	server *httptest.Server
	// instead, where set, may answer in the Viewer's place; it returns false
	// to let the request pass.
	instead atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

// replace makes f answer in the Viewer's place wherever it returns true.
func (u *upstream) replace(f func(http.ResponseWriter, *http.Request) bool) { u.instead.Store(&f) }

// fail makes every request to the Viewer end with a status.
func (u *upstream) fail(status int) {
	u.replace(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		return true
	})
}

// down makes the Viewer refuse connections for good.
func (u *upstream) down() { u.server.Close() }

// restored lets all requests pass again.
func (u *upstream) restored() { u.instead.Store(nil) }

// ServeHTTP answers as the Viewer, or in its place.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := u.instead.Load(); f != nil && (*f)(w, r) {
		return
	}
	u.Viewer.ServeHTTP(w, r)
}

// setup is what a test may change of a harness.
type setup struct {
	config func(*Config)
	client func(*restclient.Config)
	viewer func(*demoviewer.Config)
	auth   interceptor.Authorizer
}

// validator is compiled once: the rules never change.
var validator = sync.OnceValues(interceptor.NewValidator)

// newHarness starts demo Viewers of the generations, one of each where none is
// named, and our server before them. All of it ends with the test.
func newHarness(tb testing.TB, generations ...demoviewer.Generation) *harness {
	tb.Helper()
	return newHarnessWith(tb, setup{}, generations...)
}

// newHarnessWith is newHarness with changes.
func newHarnessWith(tb testing.TB, s setup, generations ...demoviewer.Generation) *harness {
	tb.Helper()
	if len(generations) == 0 {
		generations = demoviewer.Generations()
	}
	h := &harness{}
	for _, generation := range generations {
		h.upstreams = append(h.upstreams, newUpstream(tb, s, generation, h.upstreams))
	}
	var base restclient.Config
	if s.client != nil {
		s.client(&base)
	}
	entries := make([]fleet.Entry, 0, len(h.upstreams))
	for _, u := range h.upstreams {
		entries = append(entries, fleet.Entry{Name: u.name, URL: u.server.URL})
	}
	viewers, err := fleet.New(entries, base)
	if err != nil {
		tb.Fatalf("make the fleet: %v", err)
	}
	tb.Cleanup(viewers.Close)
	cache := runlog.NewCache(runlog.CacheConfig{})
	tb.Cleanup(cache.Close)
	h.config = Config{Fleet: viewers, Cache: cache, Hub: tailHub(tb), Log: slog.New(slog.DiscardHandler)}
	if s.config != nil {
		s.config(&h.config)
	}
	h.serve(tb, &s.auth)
	return h
}

// newUpstream starts one demo Viewer.
func newUpstream(tb testing.TB, s setup, generation demoviewer.Generation, others []*upstream) *upstream {
	tb.Helper()
	cfg := demoviewer.Config{Generation: generation}
	if s.viewer != nil {
		s.viewer(&cfg)
	}
	viewer, err := demoviewer.New(cfg)
	if err != nil {
		tb.Fatalf("make a demo Viewer: %v", err)
	}
	u := &upstream{Viewer: viewer, name: "v" + strings.ReplaceAll(string(generation), ".", "")}
	for _, other := range others {
		if other.name == u.name {
			u.name += "-2"
		}
	}
	u.server = httptest.NewServer(u)
	tb.Cleanup(u.server.Close)
	return u
}

// serve starts our server and connects the clients.
func (h *harness) serve(tb testing.TB, auth *interceptor.Authorizer) {
	tb.Helper()
	rules, err := validator()
	if err != nil {
		tb.Fatalf("compile the rules: %v", err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(NewCodec()),
		grpc.ChainUnaryInterceptor(interceptor.UnaryErrors(h.config.Log), auth.Unary, rules.Unary),
		grpc.ChainStreamInterceptor(interceptor.StreamErrors(h.config.Log), auth.Stream, rules.Stream),
	)
	Register(server, h.config)
	listener := bufconn.Listen(1 << 20)
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(listener); err != nil {
			tb.Errorf("serve: %v", err)
		}
	})
	tb.Cleanup(func() {
		server.Stop()
		wg.Wait()
	})
	conn, err := grpc.NewClient("passthrough:///harness",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatalf("connect: %v", err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Errorf("close the connection: %v", err)
		}
	})
	h.conn = conn
	h.experiments = runicornapiv1.NewExperimentServiceClient(conn)
	h.metrics = runicornapiv1.NewMetricServiceClient(conn)
	h.artifacts = runicornapiv1.NewArtifactServiceClient(conn)
	h.remote = runicornapiv1.NewRemoteServiceClient(conn)
	h.viewers = runicornapiv1.NewViewerServiceClient(conn)
}
