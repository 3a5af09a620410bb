// Package cpugate keeps one processor free while exports and histories are computed. Go's
// scheduler does not favor short calls: if as many goroutines compute without pause as
// there are processors, the network is polled only every 10 ms, and a short call waits for
// each of them in turn. Long work is therefore split into pieces of a few milliseconds, and
// a Gate admits one piece fewer at a time than there are processors, in FIFO order.
//
// A piece must only compute. It must not wait for a Viewer, a client or a lock, or call Do
// again: output for a client is buffered until the piece has left the gate. A caller may
// hold a lock during Do, because no piece ever waits for that lock.
package cpugate

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// Gate limits how many pieces compute at the same time. It is safe for concurrent use.
type Gate struct{ slots *semaphore.Weighted }

// NewGate returns a gate for processors-1 concurrent pieces, but at least one.
func NewGate(processors int) *Gate {
	return &Gate{slots: semaphore.NewWeighted(int64(max(1, processors-1)))}
}

// Do runs work once a slot is free, and yields to short calls afterwards. A nil Gate never
// waits. The error is the context's or that of work.
func (g *Gate) Do(ctx context.Context, work func() error) error {
	if g == nil {
		return work()
	}
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer runtime.Gosched() // with a single processor the gate keeps none free
	defer g.slots.Release(1)
	return work()
}
