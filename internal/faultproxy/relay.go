package faultproxy

import (
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
)

// Relay forwards TCP connections to a server that may be replaced, and resets them on
// demand, as a restarted proxy does. It is safe for concurrent use; Close ends everything
// it started.
type Relay struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	cuts   []int64 // the next connections are reset after so many bytes from the server
	open   map[*net.TCPConn]bool
	work   sync.WaitGroup
	sent   byteCount
}

// byteCount counts what is written to it.
type byteCount struct{ atomic.Int64 }

func (n *byteCount) Write(p []byte) (int, error) {
	n.Add(int64(len(p)))
	return len(p), nil
}

// NewRelay starts a relay on a free loopback port. Aim sets its target.
func NewRelay() (*Relay, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // ended by Close
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: listener, open: map[*net.TCPConn]bool{}}
	r.work.Go(r.accept)
	return r, nil
}

// Close closes the relay and every connection.
func (r *Relay) Close() error {
	err := r.listener.Close()
	r.Reset()
	r.work.Wait()
	return err
}

// Addr returns the address of the relay.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Bytes returns the number of bytes that the servers have sent.
func (r *Relay) Bytes() int64 { return r.sent.Load() }

// Aim sets the target of new connections.
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
		far, err := net.Dial("tcp", target) //nolint:noctx // on loopback, which answers at once
		if err != nil {
			_ = near.Close()
			continue
		}
		r.join(near.(*net.TCPConn), far.(*net.TCPConn)) //nolint:errcheck // TCP it is
	}
}

// join copies in both directions until both have ended, and then closes the connections.
func (r *Relay) join(a, b *net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[a], r.open[b] = true, true
	var up sync.WaitGroup
	up.Go(func() {
		_, _ = io.Copy(b, a)
		_ = errors.Join(b.CloseWrite(), a.CloseRead())
	})
	limit := int64(math.MaxInt64)
	if len(r.cuts) > 0 {
		limit, r.cuts = r.cuts[0], r.cuts[1:]
	}
	r.work.Go(func() {
		if n, _ := io.CopyN(a, io.TeeReader(b, &r.sent), limit); n == limit {
			breakOff(a)
		}
		_ = errors.Join(a.CloseWrite(), b.CloseRead())
		up.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, conn := range []*net.TCPConn{a, b} {
			_ = conn.Close()
			delete(r.open, conn)
		}
	})
}

// Cut resets the next connections, each after the given number of bytes.
func (r *Relay) Cut(after ...int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cuts = after
}

// CutsLeft returns how many connections are still to be reset by Cut.
func (r *Relay) CutsLeft() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cuts)
}

func breakOff(conn *net.TCPConn) {
	_ = conn.SetLinger(0)
	_ = conn.Close()
}

// Reset resets all connections.
func (r *Relay) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		breakOff(conn)
	}
	clear(r.open)
}
