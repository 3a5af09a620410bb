package servicetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/grpc/test/bufconn"
)

// Network is the in-memory connections between the server and the Viewers of a test.
// Waiting for them is durable blocking, as testing/synctest requires. The zero Network is
// ready.
type Network struct {
	mu        sync.Mutex // guards what follows
	listeners map[string]*memoryListener
}

// memoryListener is a listener with a distinct address.
type memoryListener struct {
	*bufconn.Listener
	addr net.TCPAddr
}

func (l *memoryListener) Addr() net.Addr { return &l.addr }

// start starts a server, over loopback if n is nil.
func (n *Network) start(handler http.Handler) *httptest.Server {
	if n == nil {
		return httptest.NewServer(handler)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	const bufferBytes, firstPort = 64 << 10, 10_000
	l := &memoryListener{
		Listener: bufconn.Listen(bufferBytes),
		addr:     net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: firstPort + len(n.listeners)},
	}
	if n.listeners == nil {
		n.listeners = make(map[string]*memoryListener)
	}
	n.listeners[l.addr.String()] = l
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}} //nolint:gosec // no timeouts in a test
	server.Start()
	return server
}

// transport returns a transport that reaches the servers of the network.
func (n *Network) transport(tb testing.TB) *http.Transport {
	tb.Helper()
	t := &http.Transport{DialContext: n.dial}
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

func (n *Network) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	n.mu.Lock()
	l := n.listeners[addr]
	n.mu.Unlock()
	if l == nil {
		return nil, fmt.Errorf("dial %s: there is no such server", addr)
	}
	return l.DialContext(ctx)
}
