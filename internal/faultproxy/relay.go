package faultproxy

import (
	"errors"
	"io"
	"math"
	"net"
	"sync"
)

// Relay passes TCP connections on to a server that may be replaced, and resets them
// on demand, as a proxy that is restarted does. It is safe for concurrent use; Close
// ends everything it started.
type Relay struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	cuts   []int64 // after so many bytes from the server the next connections are reset
	open   map[*net.TCPConn]bool
	work   sync.WaitGroup
}

// NewRelay starts a relay on a free loopback port. Aim says where it leads.
func NewRelay() (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: listener, open: map[*net.TCPConn]bool{}}
	r.work.Go(r.accept)
	return r, nil
}

// Close ends the relay and every connection.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.Reset()
	r.work.Wait()
	return err
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Aim says where new connections go.
func (r *Relay) Aim(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

func (r *Relay) accept() {
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
func (r *Relay) join(a, b *net.TCPConn) {
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

// Cut resets the next connections, each after so many bytes.
func (r *Relay) Cut(after ...int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts = after
}

// CutsLeft says how many connections are still to be cut.
func (r *Relay) CutsLeft() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cuts)
}

func breakOff(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// Reset breaks all connections, without a goodbye.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		breakOff(conn)
	}
	clear(r.open)
}
