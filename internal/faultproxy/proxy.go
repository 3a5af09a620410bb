// Package faultproxy is an HTTP proxy that injects faults on demand: error statuses, bodies
// that are reset, a server that is down. Tests and measurements put it in front of Viewers
// and count the requests. A Relay does the same for TCP connections of any protocol; client
// tests put it in front of servers.
//
// The first rule that matches a request and is not used up decides its fault. A request
// without a rule passes unchanged, upgrades (WebSocket) included.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
)

// Proxy is a listening proxy. It is safe for concurrent use; Close ends everything it started.
type Proxy struct {
	addr   string
	target *url.URL

	mu     sync.Mutex
	rules  []*Rule
	counts map[string]int
	server *server // nil while the proxy is down
}

// server is the listener between an Up and the next Down.
type server struct {
	http      *http.Server
	transport *http.Transport
	done      chan struct{} // closed when Serve has returned

	mu       sync.Mutex
	upgraded map[net.Conn]struct{} // connections that http.Server.Close leaves alone
}

// watch records the connections that were upgraded.
func (s *server) watch(conn net.Conn, state http.ConnState) {
	if state == http.StateHijacked {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.upgraded[conn] = struct{}{}
	}
}

// close closes the listener and every connection, and waits for the accept loop.
func (s *server) close() error {
	err := s.http.Close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.upgraded {
		_ = conn.Close() // most are closed already
	}
	s.transport.CloseIdleConnections()
	return err
}

// New starts a proxy on a free loopback port in front of target.
func New(target string) (*Proxy, error) { return NewAt("127.0.0.1:0", target) }

// NewAt starts a proxy on an address in front of target.
func NewAt(addr, target string) (*Proxy, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("parse the target: %w", err)
	}
	p := &Proxy{addr: addr, target: u, counts: map[string]int{}}
	if err := p.Up(); err != nil {
		return nil, err
	}
	return p, nil
}

// URL returns the address of the proxy, which Down and Up do not change.
func (p *Proxy) URL() string { return "http://" + p.addr }

// Close stops the proxy.
func (p *Proxy) Close() error { return p.Down() }

// Down closes the listener and every connection; new connections are refused.
func (p *Proxy) Down() error {
	p.mu.Lock()
	s := p.server
	p.server = nil
	p.mu.Unlock()
	if s == nil {
		return nil
	}
	if err := s.close(); err != nil {
		return fmt.Errorf("close the proxy: %w", err)
	}
	return nil
}

// Up listens again on the same address.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	lc := net.ListenConfig{}
	listener, err := lc.Listen(context.Background(), "tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.addr = listener.Addr().String()
	s := &server{transport: &http.Transport{DisableCompression: true}, done: make(chan struct{}), upgraded: map[net.Conn]struct{}{}}
	s.http = &http.Server{
		Handler:   &handler{proxy: p, upstream: p.reverse(s.transport)},
		ConnState: s.watch,
		ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // aborted answers are intended
	}
	p.server = s
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			panic("faultproxy: " + err.Error())
		}
	}()
	return nil
}

// Add appends rules; the first one that matches a request decides.
func (p *Proxy) Add(rules ...*Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, rules...)
}

// Requests returns the number of requests with this method and decoded path.
func (p *Proxy) Requests(method, path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[method+" "+path]
}

// Total returns the number of requests.
func (p *Proxy) Total() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	total := 0
	for _, n := range p.counts {
		total += n
	}
	return total
}

// match counts a request and returns its rule, or nil if there is none.
func (p *Proxy) match(r *http.Request) *Rule {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[r.Method+" "+r.URL.Path]++
	for _, rule := range p.rules {
		if rule.use(r) {
			return rule
		}
	}
	return nil
}

// reverse returns the ReverseProxy. It adds no headers, so the target sees the caller's
// request.
func (p *Proxy) reverse(transport http.RoundTripper) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(p.target)
			r.Out.Host = p.target.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"] // ReverseProxy drops the caller's
		},
		FlushInterval: -1, // flush streams immediately
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
}
