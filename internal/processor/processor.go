// Package processor keeps a processor free while exports and histories are made. Such
// work computes without a pause, and Go's scheduler lets it: with as many of them
// as there are processors, the network is looked at every 10 ms only, and a short
// call then waits behind each of them in turn. So they take turns, one fewer at a
// time than there are processors, in the order of asking, and give theirs back for
// as long as they wait for something and after each piece of work.
//
// The way of a call: With puts the server's gate into its context, TurnOf makes the
// call's turn, Do takes it for a piece of work, and Outside gives it back around
// what waits. It knows nothing of what is computed.
package processor

import (
	"context"
	"errors"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// Gate is what all turns of a process pass. It is safe for concurrent use.
type Gate struct{ places *semaphore.Weighted }

// NewGate makes a gate for one fewer at a time than there are processors, and for
// one at least.
func NewGate(processors int) *Gate {
	return &Gate{places: semaphore.NewWeighted(int64(max(1, processors-1)))}
}

type gateKey struct{}

// With returns a context whose long work passes the gate.
func With(ctx context.Context, g *Gate) context.Context { return context.WithValue(ctx, gateKey{}, g) }

// Turn is a call's place at the gate of its context. It belongs to one goroutine. A
// nil Turn never waits.
type Turn struct {
	ctx    context.Context //nolint:containedctx // a turn ends with its call
	gate   *Gate           // nil: nothing is waited for
	isHeld bool
}

// TurnOf returns a turn that is not taken. If the context has no gate, it never waits.
func TurnOf(ctx context.Context) *Turn {
	gate, _ := ctx.Value(gateKey{}).(*Gate)
	return &Turn{ctx: ctx, gate: gate}
}

// Do does a piece of work in its turn. Work in a turn that is held already is
// just done. The error is the context's, or that of work.
func (t *Turn) Do(work func() error) error {
	if t == nil || t.isHeld {
		return work()
	}
	if err := t.take(); err != nil {
		return err
	}
	defer t.give()
	return work()
}

// Outside gives the turn back, if it is held, for as long as something is waited
// for. Whoever holds a lock that others need to end their turns must not wait
// for a turn: locks are taken outside, and turns within them.
func (t *Turn) Outside(wait func() error) error {
	if t == nil || !t.isHeld {
		return wait()
	}
	t.give()
	err := wait()
	if ended := t.take(); ended != nil {
		return errors.Join(err, ended)
	}
	return err // as it is: a reader's io.EOF must not be wrapped
}

// Pass lets others go first: those that wait for a turn, and short calls. It is
// called after each piece of work.
func (t *Turn) Pass() error {
	return t.Outside(func() error {
		runtime.Gosched()
		return nil
	})
}

func (t *Turn) take() error {
	if t.gate != nil {
		if err := t.gate.places.Acquire(t.ctx, 1); err != nil {
			return err
		}
	}
	t.isHeld = true
	return nil
}

// give gives back a turn, unless it could not be taken again.
func (t *Turn) give() {
	if t.isHeld && t.gate != nil {
		t.gate.places.Release(1)
	}
	t.isHeld = false
}
