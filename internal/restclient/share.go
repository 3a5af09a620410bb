package restclient

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Background work is everything that nobody waits for at this moment: the
// polls of the scheduler, refreshed lists, health. It is marked in the
// context, waits behind foreground calls at the gate, and takes at most
// Config.Share of the Viewer's time: calls that cost the Viewer 100 ms are
// followed by 400 ms without background work when the share is a fifth. What was
// not used of it in the last seconds is kept, so that a quiet Viewer may be asked
// a few things at once.

const (
	// maxCostKeys bounds the remembered costs; the oldest knowledge goes first.
	maxCostKeys = 4096
	// keptShare is for how long the share is kept. A Viewer that was just started
	// needs a quarter of a second to describe its routes for the first time, and
	// for all that is asked of it meanwhile: with nothing kept, the first tail
	// would pay for that with seconds without points.
	keptShare = 3 * time.Second
)

type backgroundKey struct{}

// meter adds up the Viewer's time of the calls made under one context.
type meter struct{ spent atomic.Int64 }

func isBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// charge books the Viewer's time of a call to the background work it belongs
// to, if any.
func charge(ctx context.Context, spent time.Duration) {
	if m, ok := ctx.Value(backgroundKey{}).(*meter); ok {
		m.spent.Add(int64(spent))
	}
}

// Background runs work as background work: it waits until the share allows it
// to start, then calls work with a context under which every call of this
// client waits behind foreground calls. Key names a kind of work whose cost is
// alike from call to call, such as "list" or "table "+runID; the last cost of
// the key is what the wait of others is reckoned with until the real cost is
// known. The error is the context's, or that of work.
func (c *Client) Background(ctx context.Context, key string, work func(context.Context) error) error {
	start, booked := c.ledger.book(key)
	if err := sleep(ctx, time.Until(start)); err != nil {
		c.ledger.settle("", booked, 0)
		return err
	}
	m := &meter{}
	err := work(context.WithValue(ctx, backgroundKey{}, m))
	c.ledger.settle(key, booked, time.Duration(m.spent.Load()))
	return err
}

// Cost returns what the last work of a key cost the Viewer, 0 if unknown.
func (c *Client) Cost(key string) time.Duration {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return c.ledger.costs[key]
}

// EarliestStart returns when background work asked for now would start.
func (c *Client) EarliestStart() time.Time {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	return c.ledger.earliest(time.Now())
}

// ForgetCost drops what is known about a key, such as a run that ended.
func (c *Client) ForgetCost(key string) {
	c.ledger.mu.Lock()
	defer c.ledger.mu.Unlock()
	delete(c.ledger.costs, key)
}

// ledger is the account of background time.
type ledger struct {
	share float64
	mu    sync.Mutex
	next  time.Time // all booked work is paid for at that time, which may be past
	costs map[string]time.Duration
}

func newLedger(share float64) *ledger {
	return &ledger{share: share, costs: make(map[string]time.Duration)}
}

// earliest is called with mu held.
func (l *ledger) earliest(now time.Time) time.Time {
	if l.next.Before(now) {
		return now
	}
	return l.next
}

// book reserves the place of one call, at the cost the key had last.
func (l *ledger) book(key string) (start time.Time, booked time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	start = l.earliest(now)
	booked = l.costs[key]
	if kept := now.Add(-keptShare); l.next.Before(kept) {
		l.next = kept
	}
	l.next = l.next.Add(l.price(booked))
	return start, booked
}

// settle replaces the booked cost by the real one.
func (l *ledger) settle(key string, booked, spent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = l.next.Add(l.price(spent - booked))
	if key == "" {
		return
	}
	if len(l.costs) >= maxCostKeys {
		clear(l.costs)
	}
	l.costs[key] = spent
}

// price is how long the ledger is closed for work of a cost.
func (l *ledger) price(cost time.Duration) time.Duration {
	return time.Duration(float64(cost) / l.share)
}
