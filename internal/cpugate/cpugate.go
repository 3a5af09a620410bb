// Package cpugate keeps a processor free while exports and histories are made. Such
// work computes without a pause, and Go's scheduler lets it: with as many of them
// as there are processors, the network is looked at every 10 ms only, and a short
// call then waits behind each of them in turn. So they share slots, one fewer at a
// time than there are processors, in the order of asking, and release theirs for
// as long as they wait for something and after each piece of work.
//
// Gate.Do is for a piece of work that waits for nothing. A call that computes and waits by
// turns uses a Slot: WithGate puts the server's gate into its context, SlotFrom makes the
// call's slot, Do acquires it for a piece of work, and Unlocked releases it around
// what waits. The package knows nothing of what is computed.
package cpugate

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// Gate is what all slots of a process belong to. It is safe for concurrent use.
type Gate struct{ slots *semaphore.Weighted }

// NewGate makes a gate for one fewer at a time than there are processors, and for
// one at least.
func NewGate(processors int) *Gate {
	return &Gate{slots: semaphore.NewWeighted(int64(max(1, processors-1)))}
}

// Do does a piece of work that computes and waits for nothing, when its turn has come. A
// nil Gate never waits. The error is the context's, or that of work.
func (g *Gate) Do(ctx context.Context, work func() error) error {
	if g != nil {
		if err := g.slots.Acquire(ctx, 1); err != nil {
			return err
		}
		defer g.slots.Release(1)
	}
	return work()
}

type gateKey struct{}

// WithGate returns a context whose long work passes the gate.
func WithGate(ctx context.Context, g *Gate) context.Context {
	return context.WithValue(ctx, gateKey{}, g)
}

// Slot is the place of a call at the gate of its context. It belongs to one goroutine. A
// nil Slot never waits.
type Slot struct {
	ctx  context.Context //nolint:containedctx // a slot ends with its call
	gate *Gate           // nil: nothing is waited for
	held bool
}

// SlotFrom returns a slot that is not acquired. If the context has no gate, it never waits.
func SlotFrom(ctx context.Context) *Slot {
	gate, _ := ctx.Value(gateKey{}).(*Gate)
	return &Slot{ctx: ctx, gate: gate}
}

// Do does a piece of work while it holds the slot. Work with a slot that is held already is
// just done. The error is the context's, or that of work.
func (s *Slot) Do(work func() error) error {
	if s == nil || s.held {
		return work()
	}
	if err := s.acquire(); err != nil {
		return err
	}
	defer s.release()
	return work()
}

// Unlocked releases the slot, if it is held, for as long as something is waited
// for. Whoever holds a lock that others need to release their slots must not wait
// for a slot: locks are taken outside, and slots within them.
func (s *Slot) Unlocked(wait func() error) error {
	if s == nil || !s.held {
		return wait()
	}
	s.release()
	err := wait()
	if ended := s.acquire(); ended != nil {
		return errors.Join(err, ended)
	}
	return err // as it is: a reader's io.EOF must not be wrapped
}

// Yield lets others go first: those that wait for a slot, and short calls. It is
// called after each piece of work.
func (s *Slot) Yield() error {
	return s.Unlocked(func() error {
		runtime.Gosched()
		return nil
	})
}

func (s *Slot) acquire() error {
	if s.gate != nil {
		if err := s.gate.slots.Acquire(s.ctx, 1); err != nil {
			return err
		}
	}
	s.held = true
	return nil
}

// release gives back a slot, unless it could not be acquired again.
func (s *Slot) release() {
	if s.held && s.gate != nil {
		s.gate.slots.Release(1)
	}
	s.held = false
}
