package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"runtime"
	"sync"
	"testing"
)

// mortal is a relay in front of a real Viewer that dies like a killed process after a
// number of bytes: it resets all connections and closes the port. The Viewer need not be
// restarted, so it can die often.
type mortal struct {
	addr, target string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	left     int64 // bytes until it dies
	// relays are all goroutines of this life.
	relays sync.WaitGroup
}

// newMortal begins the first life, which lasts until live or the test ends it.
func newMortal(t *testing.T, viewerURL string) *mortal {
	t.Helper()
	u, err := url.Parse(viewerURL)
	if err != nil {
		t.Fatal(err)
	}
	// While it is dead its port is free: it uses a separate address, so that no other
	// program takes the port.
	addr := "127.0.0.1:0"
	if runtime.GOOS == "linux" {
		addr = fmt.Sprintf("127.%d.%d.%d:0", 1+rand.IntN(250), rand.IntN(256), 1+rand.IntN(250)) //nolint:gosec // any will do
	}
	m := &mortal{addr: addr, target: u.Host}
	m.live(t, 1<<60)
	t.Cleanup(func() { m.die(); m.relays.Wait() })
	return m
}

// live begins a new life of so many bytes.
func (m *mortal) live(t *testing.T, bytes int64) {
	t.Helper()
	m.die()
	m.relays.Wait()
	listener, err := net.Listen("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.addr = listener.Addr().String() // all lives have the first one's
	m.listener, m.conns, m.left = listener, map[net.Conn]bool{}, bytes
	m.relays.Go(func() { m.accept(listener) })
}

// die resets all connections.
func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listener != nil {
		_ = m.listener.Close() // it was open
	}
	for conn := range m.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing resets
		}
		_ = conn.Close() // the other side may have been faster
	}
	m.listener, m.conns = nil, nil
}

// isDead reports whether this life has ended.
func (m *mortal) isDead() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.listener == nil
}

func (m *mortal) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		m.relays.Go(func() { m.relay(client) })
	}
}

// hold records a connection of this life, and closes one that was accepted too late.
func (m *mortal) hold(conn net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.conns == nil {
		_ = conn.Close() // no client has used it
		return false
	}
	m.conns[conn] = true
	return true
}

// drop forgets and closes connections.
func (m *mortal) drop(conns ...net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range conns {
		delete(m.conns, conn)
		_ = conn.Close() // die may have been faster
	}
}

// spend uses up to n of the remaining bytes, and returns how many there were.
func (m *mortal) spend(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n = int(min(int64(n), m.left))
	m.left -= int64(n)
	return n
}

func (m *mortal) relay(client net.Conn) {
	if !m.hold(client) {
		return
	}
	viewer, err := net.Dial("tcp", m.target)
	if err != nil || !m.hold(viewer) {
		m.drop(client)
		return
	}
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(viewer, client) // ends with either connection
		m.drop(client, viewer)
	})
	buf := make([]byte, 32<<10)
	for {
		n, err := viewer.Read(buf)
		part := m.spend(n)
		if _, writeErr := client.Write(buf[:part]); part < n {
			m.die()
			break
		} else if err != nil || writeErr != nil {
			break
		}
	}
	m.drop(client, viewer)
	up.Wait()
}
