// Package servicetest is shared by the tests of the services: the server with its
// interceptors in front of demo Viewers. It depends on no service; tests register them.
package servicetest

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
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer/demotest"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/interceptor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
)

// Harness has every stage of a call: clients of every service, the server with its
// interceptors behind an in-memory connection, and one demo Viewer per generation, each
// over real HTTP.
type Harness struct {
	Experiments runicornapiv1.ExperimentServiceClient
	Metrics     runicornapiv1.MetricServiceClient
	Artifacts   runicornapiv1.ArtifactServiceClient
	Remote      runicornapiv1.RemoteServiceClient
	Viewers     runicornapiv1.ViewerServiceClient

	Conn *grpc.ClientConn
	// Config is the configuration that the services got.
	Config  Config
	network *Network
	// Upstreams are in the order of the generations; the first is the default.
	Upstreams []*Upstream
}

// Upstream is one demo Viewer whose responses can be replaced.
type Upstream struct {
	*demotest.Viewer
	// Name is the Viewer's name in requests: "v053", "v060", "v072"; a second one of a
	// generation is "v072-2".
	Name   string
	Server *httptest.Server
	// instead, if set, may answer in the Viewer's place; it returns false to pass the
	// request on.
	instead atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

// Replace makes f answer instead of the Viewer where it returns true.
func (u *Upstream) Replace(f func(http.ResponseWriter, *http.Request) bool) { u.instead.Store(&f) }

// Fail makes every request to the Viewer fail with a status.
func (u *Upstream) Fail(status int) {
	u.Replace(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		return true
	})
}

// Down makes the Viewer refuse connections permanently.
func (u *Upstream) Down() { u.Server.Close() }

// Restored ends Replace and Fail.
func (u *Upstream) Restored() { u.instead.Store(nil) }

// ServeHTTP answers as the Viewer, or in its place.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f := u.instead.Load(); f != nil && (*f)(w, r) {
		return
	}
	u.Viewer.ServeHTTP(w, r)
}

// Config is what the harness offers to the services.
type Config struct {
	Fleet *fleet.Fleet
	Cache *runcache.Cache
	Index *search.Index
	Hub   *follow.Hub
	Log   *slog.Logger
}

// RegisterFunc adds the services under test to a server.
type RegisterFunc func(grpc.ServiceRegistrar, Config)

// Setup configures a harness.
type Setup struct {
	// Register adds the services; it is required.
	Register RegisterFunc
	Client   func(*restclient.Config)
	Viewer   func(*demotest.Config)
	Auth     *interceptor.Authorizer
	Log      *slog.Logger // of the interceptors, and in Config
	// Network is where the Viewers are, for tests in a testing/synctest bubble; nil means
	// loopback.
	Network *Network
}

// validator is compiled once: the rules never change.
var validator = sync.OnceValues(interceptor.NewValidator)

// New starts a demo Viewer of each of the generations, by default one of every
// generation, and the server in front of them. All of it ends with the test.
func New(tb testing.TB, s Setup, generations ...demotest.Generation) *Harness {
	tb.Helper()
	if len(generations) == 0 {
		generations = demotest.Generations()
	}
	var upstreams []*Upstream
	for _, generation := range generations {
		upstreams = append(upstreams, s.Network.upstream(tb, s.Viewer, generation, upstreams))
	}
	var base restclient.Config
	if s.Client != nil {
		s.Client(&base)
	}
	return before(tb, upstreams, base, s)
}

// before starts the server in front of running Viewers.
func before(tb testing.TB, upstreams []*Upstream, base restclient.Config, s Setup) *Harness {
	tb.Helper()
	entries := make([]fleet.Entry, 0, len(upstreams))
	for _, u := range upstreams {
		entries = append(entries, fleet.Entry{Name: u.Name, URL: u.Server.URL})
	}
	if s.Network != nil {
		base.Transport = s.Network.transport(tb)
	}
	h := Serve(tb, entries, base, s)
	h.Upstreams, h.network = upstreams, s.Network
	return h
}

// Replica starts another server in front of the same Viewers.
func (h *Harness) Replica(tb testing.TB, register RegisterFunc) *Harness {
	tb.Helper()
	return before(tb, h.Upstreams, restclient.Config{Share: 1}, Setup{Register: register, Network: h.network})
}

// Serve starts the server in front of Viewers, and connects the clients.
func Serve(tb testing.TB, viewers []fleet.Entry, base restclient.Config, s Setup) *Harness {
	tb.Helper()
	all, err := fleet.New(viewers, base)
	if err != nil {
		tb.Fatalf("make the fleet: %v", err)
	}
	tb.Cleanup(all.Close)
	cache := runcache.New(runcache.Config{})
	tb.Cleanup(cache.Close)
	hub := NewHub
	if s.Network != nil {
		hub = newBubbleHub
	}
	index := search.New(search.Config{Cache: cache})
	tb.Cleanup(index.Close)
	h := &Harness{Config: Config{Fleet: all, Cache: cache, Index: index, Hub: hub(tb), Log: s.Log}}
	if h.Config.Log == nil {
		h.Config.Log = slog.New(slog.DiscardHandler)
	}
	auth := s.Auth
	if auth == nil {
		auth = &interceptor.Authorizer{}
	}
	h.serve(tb, auth, s.Register)
	return h
}

// NewUpstream starts one demo Viewer.
func NewUpstream(tb testing.TB, change func(*demotest.Config), generation demotest.Generation, others []*Upstream) *Upstream {
	tb.Helper()
	var loopback *Network
	return loopback.upstream(tb, change, generation, others)
}

// upstream starts one demo Viewer.
func (n *Network) upstream(tb testing.TB, change func(*demotest.Config), generation demotest.Generation, others []*Upstream) *Upstream {
	tb.Helper()
	cfg := demotest.Config{Generation: generation}
	if change != nil {
		change(&cfg)
	}
	viewer, err := demotest.New(cfg)
	if err != nil {
		tb.Fatalf("make a demo Viewer: %v", err)
	}
	u := &Upstream{Viewer: viewer, Name: "v" + strings.ReplaceAll(string(generation), ".", "")}
	for _, other := range others {
		if other.Name == u.Name {
			u.Name += "-2"
		}
	}
	u.Server = n.start(u)
	tb.Cleanup(u.Server.Close)
	return u
}

// serve starts the server and connects the clients.
func (h *Harness) serve(tb testing.TB, auth *interceptor.Authorizer, register RegisterFunc) {
	tb.Helper()
	rules, err := validator()
	if err != nil {
		tb.Fatalf("compile the rules: %v", err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodecV2(wire.Lenient(wire.NewCodec())),
		grpc.ChainUnaryInterceptor(interceptor.UnaryErrors(h.Config.Log), auth.Unary, rules.Unary),
		grpc.ChainStreamInterceptor(interceptor.StreamErrors(h.Config.Log), auth.Stream, rules.Stream),
	)
	register(server, h.Config)
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
	h.Conn = conn
	h.Experiments = runicornapiv1.NewExperimentServiceClient(conn)
	h.Metrics = runicornapiv1.NewMetricServiceClient(conn)
	h.Artifacts = runicornapiv1.NewArtifactServiceClient(conn)
	h.Remote = runicornapiv1.NewRemoteServiceClient(conn)
	h.Viewers = runicornapiv1.NewViewerServiceClient(conn)
}

// newBubbleHub returns a Hub for synctest bubbles, where time is free but each poll has a
// cost.
func newBubbleHub(tb testing.TB) *follow.Hub {
	tb.Helper()
	hub := follow.NewHub(follow.HubConfig{
		MinInterval: 100 * time.Millisecond, MaxInterval: time.Second, EndGrace: time.Second,
		UnreachableAfter: time.Minute, ClassifyError: source.ClassifyError,
	})
	tb.Cleanup(hub.Close)
	return hub
}

// NewHub returns a Hub with short intervals.
func NewHub(tb testing.TB) *follow.Hub {
	tb.Helper()
	hub := follow.NewHub(follow.HubConfig{
		MinInterval: 10 * time.Millisecond, MaxInterval: 40 * time.Millisecond, EndGrace: 150 * time.Millisecond,
		UnreachableAfter: time.Minute, ClassifyError: source.ClassifyError,
	})
	tb.Cleanup(hub.Close)
	return hub
}
