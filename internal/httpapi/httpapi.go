// Package httpapi is the HTTP side of the server: REST and JSON under /v1/, streams as
// lines of JSON or as server-sent events, health, and a few HTML pages.
//
// It must not use the Viewers: it depends only on the contract and on a connection to the
// gRPC server of this process. A request passes the guard, which refuses web pages of
// other sites, then goes to a page or to the API. There grpc-gateway's mux finds its
// route, the route's check refuses unknown fields, and grpc-gateway makes a gRPC call, so
// that HTTP callers pass the same interceptors as gRPC callers. Every error has the JSON
// form of errors.go.
//
// The http.Server must have no WriteTimeout, because streams have no end.
package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
)

// Config holds what the HTTP side depends on. Conn, Health and OpenAPI are required.
type Config struct {
	// Conn is a connection to the gRPC server of this process, as NewConn returns it.
	Conn grpc.ClientConnInterface
	// Health is the health service of that server.
	Health Health
	// Identify returns the context of a request with its caller and the Viewers that
	// exist for the caller; nil leaves the context unchanged.
	Identify func(r *http.Request) context.Context
	// Admit returns an error if the caller of a context may not make calls. It is called
	// before a body is read; nil admits all. The gRPC server checks again.
	Admit func(ctx context.Context) error
	// AdmitMetrics is Admit for /metrics.
	AdmitMetrics func(ctx context.Context) error
	// Refused is called for requests that are refused without a call; may be nil.
	Refused func(r *http.Request, err error)
	// Compute runs a step of long work, which must not delay short calls; nil runs it
	// directly.
	Compute func(work func() error) error
	// Draining is closed when the server begins to shut down; nil means never.
	Draining <-chan struct{}
	// AllowedHosts are the names besides loopback under which the server may
	// be called: "name" for any port, or "name:port".
	AllowedHosts []string
	// CORSOrigins are the origins whose web pages may call this server: "https://name" or
	// "https://name:port".
	CORSOrigins []string
	// Metrics answers /metrics; without it there is no such path.
	Metrics http.Handler
	// Compat answers /api/, the paths of the documented Python client;
	// without it there are none.
	Compat http.Handler
	// OpenAPI is the OpenAPI 3.1 document.
	OpenAPI []byte
	// Protos are the protos for other languages, served as /protos.zip; may be nil.
	Protos fs.FS
	// GRPCPort is the gRPC port on the same host, for the commands on the first page; 0
	// if unknown.
	GRPCPort int
	// Limits bound what callers can make the server do.
	Limits Limits
	// AllowLog bounds how often refused requests are logged; nil allows all.
	AllowLog func() bool
	// Log takes refused requests and internal errors; nil discards them.
	Log *slog.Logger
}

// Limits bound what callers can make the server do. A zero means the default.
type Limits struct {
	// MaxBody is the largest body of a request in bytes; 1 MiB by default.
	MaxBody int64
	// UnaryTimeout is the deadline of a call that is no stream and has no
	// Grpc-Timeout header; a minute by default.
	UnaryTimeout time.Duration
	// BodyTimeout is how long a body may take to arrive; ten seconds by default. The
	// http.Server must have no ReadTimeout, which would end streams.
	BodyTimeout time.Duration
	// WriteStall is how long a client may leave what was written unread before
	// its request is given up; two minutes by default.
	WriteStall time.Duration
	// Pending counts a body until it is in, and calls giveUp when its time is up;
	// nil counts none.
	Pending func(giveUp func()) (done func())
}

const (
	defaultMaxBody      = 1 << 20
	defaultUnaryTimeout = time.Minute
	defaultBodyTimeout  = 10 * time.Second
	defaultWriteStall   = 2 * time.Minute
)

// New returns the whole HTTP side as one handler, safe for concurrent use. It
// fails on a configuration that it cannot keep, naming the entry.
func New(ctx context.Context, cfg Config) (http.Handler, error) {
	if cfg.Conn == nil || cfg.Health == nil {
		return nil, errors.New("httpapi: Conn and Health are required")
	}
	if cfg.Identify == nil {
		cfg.Identify = (*http.Request).Context
	}
	if cfg.Admit == nil {
		cfg.Admit = func(context.Context) error { return nil }
	}
	if cfg.AdmitMetrics == nil {
		cfg.AdmitMetrics = cfg.Admit
	}
	if cfg.Refused == nil {
		cfg.Refused = func(*http.Request, error) {}
	}
	if cfg.Compute == nil {
		cfg.Compute = func(work func() error) error { return work() }
	}
	if cfg.AllowLog == nil {
		cfg.AllowLog = func() bool { return true }
	}
	if cfg.Limits.Pending == nil {
		cfg.Limits.Pending = func(func()) func() { return func() {} }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits.MaxBody = cmp.Or(cfg.Limits.MaxBody, defaultMaxBody)
	cfg.Limits.UnaryTimeout = cmp.Or(cfg.Limits.UnaryTimeout, defaultUnaryTimeout)
	cfg.Limits.BodyTimeout = cmp.Or(cfg.Limits.BodyTimeout, defaultBodyTimeout)
	cfg.Limits.WriteStall = cmp.Or(cfg.Limits.WriteStall, defaultWriteStall)

	protos, err := zipOf(cfg.Protos)
	if err != nil {
		return nil, err
	}
	compress, err := newCompressor()
	if err != nil {
		return nil, fmt.Errorf("make the compression: %w", err)
	}
	api, err := newAPI(ctx, cfg, compress)
	if err != nil {
		return nil, err
	}
	pages, err := newPages(cfg, protos)
	if err != nil {
		return nil, err
	}
	h := &handler{api: api, pages: compress(pages), identify: cfg.Identify, log: cfg.Log}
	if cfg.Compat != nil {
		h.compat, h.compatFiles = compress(cfg.Compat), cfg.Compat
	}
	guard, err := newGuard(cfg, h)
	return &bounds{limits: cfg.Limits, large: make(chan struct{}, maxLargeBodies), next: guard}, err
}

// handler sends a request that the guard let pass to the one that answers it.
type handler struct {
	api    http.Handler
	compat http.Handler // may be nil
	// compatFiles answers /api/export, which is a file and is never compressed.
	compatFiles http.Handler
	pages       http.Handler
	identify    func(r *http.Request) context.Context
	log         *slog.Logger
}

// ServeHTTP chooses by prefix before any http.ServeMux sees the path: that
// would answer an id of ".." by a redirect instead of refusing it.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.recoverPanic(r)
	r = r.WithContext(h.identify(r))
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/"):
		h.api.ServeHTTP(w, r)
	case h.compat != nil && r.URL.Path == "/api/export":
		h.compatFiles.ServeHTTP(w, r)
	case h.compat != nil && strings.HasPrefix(r.URL.Path, "/api/"):
		h.compat.ServeHTTP(w, r)
	default:
		h.pages.ServeHTTP(w, r)
	}
}
