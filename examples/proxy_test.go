package examples

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// proxy is an HTTP/2 reverse proxy between clients and a server. Each of its faults
// causes another error in a client.
type proxy struct {
	server   server // as clients see it
	from, to conns
}

func startProxy(t *testing.T, srv server) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{server: srv}
	p.server.grpcAddr = listener.Addr().String()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols, DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return p.to.add(c), nil
	}}
	quiet := log.New(io.Discard, "", 0)
	handler := &httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1, ErrorLog: quiet,
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: srv.grpcAddr}) },
	}
	web := &http.Server{Handler: handler, Protocols: &protocols, ErrorLog: quiet}
	var serving sync.WaitGroup
	serving.Go(func() { _ = web.Serve(heldListener{listener, &p.from}) }) // returns when the listener is closed
	t.Cleanup(func() {
		if err := web.Close(); err != nil {
			t.Error(err)
		}
		p.from.reset() // the server no longer owns those that use HTTP/2
		p.to.reset()
		transport.CloseIdleConnections()
		serving.Wait()
	})
	return p
}

// faults are the failures between a client and a server, in the order in which tests
// inject them.
var faults = []struct {
	name string
	do   func(*proxy)
}{
	{"the server is killed behind the proxy", func(p *proxy) { p.to.reset() }}, // INTERNAL, without a reason
	{"the proxy resets connections", func(p *proxy) { p.from.reset() }},
	{"nothing comes any more", func(p *proxy) { p.from.freeze() }},
}

// conns is a set of connections that can be reset or frozen.
type conns struct {
	mu   sync.Mutex
	held []*conn
}

type conn struct {
	net.Conn
	frozen atomic.Bool
}

func (c *conns) add(one net.Conn) net.Conn {
	held := &conn{Conn: one}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = append(c.held, held)
	return held
}

func (c *conns) take() []*conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.held
	c.held = nil
	return held
}

func (c *conns) reset() {
	for _, one := range c.take() {
		_ = one.Conn.(*net.TCPConn).SetLinger(0) // closing resets; it may be closed
		_ = one.Close()
	}
}

// freeze stops all data on the existing connections.
func (c *conns) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.held {
		one.frozen.Store(true)
	}
}

func (c *conn) Write(text []byte) (int, error) {
	if c.frozen.Load() {
		return len(text), nil
	}
	return c.Conn.Write(text)
}

type heldListener struct {
	net.Listener
	conns *conns
}

func (l heldListener) Accept() (net.Conn, error) {
	one, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.conns.add(one), nil
}
