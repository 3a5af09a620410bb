package pythonclient

import (
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"testing"
)

// relay passes TCP connections on to a server that may be replaced, and resets
// them on demand, as a proxy that is restarted does.
type relay struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	cuts   []int64 // after so many bytes from the server the next connections are reset
	open   map[*net.TCPConn]bool
	work   sync.WaitGroup
}

// newRelay starts a relay, which ends with the test.
func newRelay(t *testing.T) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, open: map[*net.TCPConn]bool{}}
	r.work.Go(r.accept)
	t.Cleanup(func() {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
		r.reset()
		r.work.Wait()
	})
	return r
}

func (r *relay) address() string { return r.listener.Addr().String() }

// aim says where new connections go.
func (r *relay) aim(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

func (r *relay) accept() {
	for {
		near, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		r.mu.Lock()
		target := r.target
		r.mu.Unlock()
		far, err := net.Dial("tcp", target)
		if err != nil {
			_ = near.Close()
			continue
		}
		r.join(near.(*net.TCPConn), far.(*net.TCPConn))
	}
}

// join passes bytes on, until one side ends.
func (r *relay) join(a, b *net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[a], r.open[b] = true, true
	r.work.Go(func() {
		_, _ = io.Copy(b, a)
		_ = errors.Join(b.CloseWrite(), a.CloseRead())
	})
	limit := int64(math.MaxInt64)
	if len(r.cuts) > 0 {
		limit, r.cuts = r.cuts[0], r.cuts[1:]
	}
	r.work.Go(func() {
		if n, _ := io.CopyN(a, b, limit); n == limit {
			breakOff(a)
		}
		_ = errors.Join(a.CloseWrite(), b.CloseRead())
	})
}

// cut resets the next connections, each after so many bytes.
func (r *relay) cut(after ...int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts = after
}

// left says how many connections are still to be cut.
func (r *relay) left() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cuts)
}

func breakOff(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// reset breaks all connections, without a goodbye.
func (r *relay) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		breakOff(conn)
	}
	clear(r.open)
}
