// Package restclient is a client of one Runicorn Viewer, for the releases 0.5.3, 0.6.0 and
// 0.7.2. It contains all knowledge about their REST routes: which generation has which
// route, the form of answers and errors, and the cost of a call.
//
// Callers that make the same read at the same time share its result, which must not be
// changed.
//
// It must not know gRPC, protobuf or the contract of this server.
//
// A call has four stages. A method of a resource file passes a capability with its ids,
// query and body to do (or to readJSON, in which identical reads in flight share one
// request). newRequest builds the request from the table of routes and refuses ids that
// could change the URL. send waits for a slot, checks the breaker and sends, with the
// retries of retry.go. check turns the status into a typed error, and the method decodes
// the body through the exchange, which holds the slot until it is closed.
package restclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// Config configures a Client. Only BaseURL is required.
type Config struct {
	// BaseURL is the Viewer's address, such as http://127.0.0.1:23300, with
	// an optional path prefix. User information, query and fragment are refused.
	BaseURL string
	// Name is the Viewer's name in errors; it may be empty.
	Name string
	// UserAgent is sent with every request; "runicorn-grpc" when empty.
	UserAgent string
	// CAFile is a PEM file with the CA certificates that verify the Viewer's certificate.
	// AuthFile is a file with the Authorization header value that a proxy in front of the
	// Viewer requires. Both may be empty, and are reloaded when they change.
	CAFile, AuthFile string
	// Transport replaces the HTTP transport, for tests.
	Transport http.RoundTripper
	// Observer is called for every request that was sent; nil is allowed.
	Observer Observer
	// Log gets a line when the Viewer becomes unreachable or reachable, or changes its
	// release; nil logs nothing.
	Log *slog.Logger

	// LightTimeout limits a light call from its slot to the last byte of its body; 30 s
	// when zero.
	LightTimeout time.Duration
	// HeavyTimeout limits a heavy call (tables, archives) in the same way; 120 s when zero.
	HeavyTimeout time.Duration
	// StallTimeout limits the wait for the headers of a stream and for each further read of
	// its body; 30 s when zero.
	StallTimeout time.Duration

	// Share is the share of the Viewer's time that background work may use, above 0 and at
	// most 1; 0.2 when zero.
	Share float64
}

// Observer receives finished requests, for metrics. It must be fast and safe for concurrent
// use.
type Observer interface {
	Observe(Observation)
}

// Observation is one finished request.
type Observation struct {
	// Viewer is the Config.Name of the client.
	Viewer string
	// Method and Route (the template, without ids) come from the table of routes, so both
	// are suitable metric labels.
	Method, Route string
	// Status is the HTTP status, 0 if none arrived.
	Status int
	// Kind is the kind of the failure, 0 for success.
	Kind Kind
	// Duration runs from the slot to the end of the body.
	Duration time.Duration
	// Bytes is the number of body bytes read.
	Bytes int64
}

// Client is a client of one Viewer. It is safe for concurrent use.
type Client struct {
	cfg       Config
	base      *url.URL
	transport http.RoundTripper
	slots     *slotLimiter
	breaker   *breaker
	budget    *retryBudget
	limiter   *shareLimiter
	reads     sharedReads
	caps      versioned[Capabilities]
	runs      versioned[RunList]
	// undescribed is when the Viewer last failed to serve its description, in Unix
	// nanoseconds; 0 if it did not.
	undescribed atomic.Int64
	dirs        boundedMap[runDir]
	exported    exportCache
	ended       boundedMap[*Document[StatusDocument]] // the status of ended runs
	logs        *logStreams
	connLog     *connLog
	maxBody     int64 // maxBody, smaller in tests
}

// New returns a client of the Viewer at cfg.BaseURL. It sends no request: the Viewer may
// start later.
func New(cfg Config) (*Client, error) {
	base, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	cfg.UserAgent = cmp.Or(cfg.UserAgent, "runicorn-grpc")
	cfg.LightTimeout = cmp.Or(cfg.LightTimeout, 30*time.Second)
	cfg.HeavyTimeout = cmp.Or(cfg.HeavyTimeout, 120*time.Second)
	cfg.StallTimeout = cmp.Or(cfg.StallTimeout, 30*time.Second)
	cfg.Share = cmp.Or(cfg.Share, 0.2)
	if !(cfg.Share > 0 && cfg.Share <= 1) {
		return nil, fmt.Errorf("share %v must be above 0 and at most 1", cfg.Share)
	}
	transport := cfg.Transport
	if transport == nil {
		if transport, err = newUpstream(cfg, base); err != nil {
			return nil, err
		}
	}
	connLog := newConnLog(cfg.Log, cfg.Name)
	return &Client{
		cfg:       cfg,
		base:      base,
		transport: transport,
		slots:     newSlotLimiter(sharedSlots, heavySlots, streamSlots),
		breaker:   &breaker{onOpen: connLog.onBreakerOpen},
		budget:    newRetryBudget(),
		limiter:   newShareLimiter(cfg.Share, connLog.onShare),
		dirs:      boundedMap[runDir]{limit: maxDirs},
		exported:  exportCache{files: boundedMap[*RunFiles]{limit: maxRunFiles}},
		ended:     boundedMap[*Document[StatusDocument]]{limit: maxEnded},
		logs:      newLogStreams(),
		connLog:   connLog,
		maxBody:   maxBody,
	}, nil
}

// newTransport returns a transport that protects the Viewer: few connections, idle ones
// closed before the Viewer's own 5 s timeout, no proxy from the environment, and no
// transparent decompression, which would let decompression bombs bypass the limits.
func newTransport() *http.Transport {
	const conns = sharedSlots + streamSlots + 1 // one more for SSH
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		IdleConnTimeout:        4 * time.Second,
		MaxConnsPerHost:        conns,
		MaxIdleConnsPerHost:    conns,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
	}
}

// Close closes idle connections. Calls in flight are not interrupted.
func (c *Client) Close() {
	if t, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}

// BaseURL returns the configured address of the Viewer.
func (c *Client) BaseURL() string { return c.base.String() }

// call is one call: a capability and the values for its route.
type call struct {
	cap   Capability
	ids   []string   // values for the placeholders of the route, in order
	query url.Values // keys are constants of the methods, values are escaped
	body  any        // sent as JSON unless nil
	bytes string     // a Range header
	// secrets are values of the body that must never appear in an error.
	secrets []string
	// class overrides the route's class unless zero.
	class class
	// limit limits the body in bytes: 0 means maxBody, negative means no limit.
	// Streams have no limit.
	limit int64
}

// newRequest builds the request of a call. No header of the caller is forwarded: a Viewer
// only ever receives four fixed ones.
func (c *Client) newRequest(ctx context.Context, r route, q call) (*http.Request, error) {
	target, err := c.url(r, q)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	if q.body != nil {
		b, err := json.Marshal(q.body)
		if err != nil {
			return nil, fmt.Errorf("encode the body of %s %s: %w", r.method, r.path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, fmt.Errorf("build %s %s: %w", r.method, r.path, err)
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	if q.body != nil {
		// The Viewer answers 422 if the same JSON has another content type.
		req.Header.Set("Content-Type", "application/json")
	}
	if q.bytes != "" {
		req.Header.Set("Range", q.bytes)
	}
	return req, nil
}

// do sends a call and returns its successful exchange. The caller must close it; it holds
// the slot until then.
func (c *Client) do(ctx context.Context, q call) (*exchange, error) {
	r, err := c.require(ctx, q.cap)
	if err != nil {
		return nil, err
	}
	r.class = cmp.Or(q.class, r.class)
	for attempt := 1; ; attempt++ {
		x, err := c.send(ctx, r, q)
		if err == nil {
			c.connLog.onAnswer()
			return x, nil
		}
		if !c.shouldRetry(ctx, r, err, attempt) {
			c.noteFailure(err)
			return nil, err
		}
	}
}

// send makes one attempt: slot, breaker, transport, status.
func (c *Client) send(ctx context.Context, r route, q call) (*exchange, error) {
	x := newExchange(ctx, c, r, q)
	traced := httptrace.WithClientTrace(x.ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { x.sent.Store(true) },
	})
	req, err := x.prepare(traced)
	if err != nil {
		return nil, err
	}
	resp, err := c.transport.RoundTrip(req) //nolint:bodyclose // the exchange closes it
	c.breaker.record(err)
	if err != nil {
		return nil, x.fail(err)
	}
	x.onHeaders(resp)
	if err := x.check(); err != nil {
		return nil, x.fail(err)
	}
	return x, nil
}

// parseBase validates a base URL. Errors do not repeat a value that may contain a password.
func parseBase(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, errors.New("base URL cannot be parsed")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("base URL must begin with http:// or https://")
	case u.User != nil:
		return nil, errors.New("base URL must not hold user information")
	case u.Hostname() == "":
		return nil, errors.New("base URL has no host")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, errors.New("base URL must not hold a query or a fragment")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(u.Path, "/")}, nil
}
