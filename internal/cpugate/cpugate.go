// Package cpugate keeps a processor free while exports and histories are made. Such
// work computes without a pause, and Go's scheduler lets it: with as many of them
// as there are processors, the network is looked at every 10 ms only, and a short
// call then waits behind each of them in turn. So long work is cut into pieces of a few
// milliseconds, and a Gate lets one fewer of them at a time compute than there are
// processors, in the order of asking.
//
// Gate.Do is called around each piece of computing and nothing else. A piece waits for
// no Viewer, client or lock: what it writes for a client is held until it has left
// the gate. Whoever holds a lock may call Do, and so nobody waits for that lock within it.
// A piece calls Do of no other piece. The package knows nothing of what is computed.
package cpugate

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// Gate bounds the pieces of a process that compute at a time. It is safe for concurrent
// use.
type Gate struct{ slots *semaphore.Weighted }

// NewGate makes a gate for one fewer at a time than there are processors, and for
// one at least.
func NewGate(processors int) *Gate {
	return &Gate{slots: semaphore.NewWeighted(int64(max(1, processors-1)))}
}

// Do does a piece of work that computes and waits for nothing, when its turn has come,
// and lets short calls go first afterwards. A nil Gate never waits. The error is the
// context's, or that of work.
func (g *Gate) Do(ctx context.Context, work func() error) error {
	if g == nil {
		return work()
	}
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer runtime.Gosched() // where there is one processor only, nothing is left free
	defer g.slots.Release(1)
	return work()
}
