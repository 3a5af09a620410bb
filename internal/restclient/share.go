package restclient

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Background work is everything that nobody waits for at this moment: the
// polls of the scheduler, refreshed lists, health. It is marked in the
// context, waits behind foreground calls for a slot, and takes at most
// Config.Share of the Viewer's time: calls that cost the Viewer 100 ms are
// followed by 400 ms without background work when the share is a fifth. What was
// not used of it in the last seconds is kept, so that a quiet Viewer may be asked
// a few things at once.

const (
	// maxCostKeys bounds the remembered costs; the oldest knowledge goes first.
	maxCostKeys = 4096
	// burst is for how long the share is kept. A Viewer that was just started
	// needs a quarter of a second to describe its routes for the first time, and
	// for all that is asked of it meanwhile: with nothing kept, the first tail
	// would pay for that with seconds without points.
	burst = 3 * time.Second
	// maxCostGrowth is how many times its last cost a call is charged at most. One that
	// takes very much longer than the same before has waited, for others in the Viewer or
	// for a busy machine; if it really costs so much now, the next ones show it.
	maxCostGrowth = 4
)

type backgroundKey struct{}

// meter adds up the Viewer's time of the calls made under one context.
type meter struct{ spent atomic.Int64 }

func isBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// charge ends a call that begin has begun, and adds the Viewer's time of it to the
// background work it belongs to, if any.
func (u *viewerTime) charge(ctx context.Context, began time.Duration) {
	if m, ok := ctx.Value(backgroundKey{}).(*meter); ok {
		m.spent.Add(int64(u.end(began)))
	}
}

// viewerTime tells what background calls cost the Viewer. A Viewer does one thing at a
// time, so calls that are under way together slow each other down: the time is divided
// equally among them, and all of them together cost the time in which there was at least one.
type viewerTime struct {
	mu      sync.Mutex
	running int
	at      time.Time     // when each was last changed
	each    time.Duration // what one call that never ends would have cost so far
}

// begin notes that a call has started. What it returns is for end.
func (u *viewerTime) begin() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	u.running++
	return u.each
}

// end notes that a call has ended, and returns what it has cost.
func (u *viewerTime) end(began time.Duration) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	u.running--
	return u.each - began
}

// advance is called with mu held.
func (u *viewerTime) advance() {
	now := time.Now()
	if u.running > 0 {
		u.each += now.Sub(u.at) / time.Duration(u.running)
	}
	u.at = now
}

// Background runs work as background work: it waits until the share allows it
// to start, then calls work with a context under which every call of this
// client waits behind foreground calls. Key names a kind of work whose cost is
// alike from call to call, such as "list" or "table "+runID; the last cost of
// the key is what the wait of others is reckoned with until the real cost is
// known. The error is the context's, or that of work.
func (c *Client) Background(ctx context.Context, key string, work func(context.Context) error) error {
	start, reserved := c.limiter.reserve(key)
	if err := sleep(ctx, time.Until(start)); err != nil {
		c.limiter.commit("", reserved, 0)
		return err
	}
	m := &meter{}
	err := work(context.WithValue(ctx, backgroundKey{}, m))
	c.limiter.commit(key, reserved, time.Duration(m.spent.Load()))
	return err
}

// Cost returns what the last work of a key cost the Viewer, 0 if unknown.
func (c *Client) Cost(key string) time.Duration {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	return c.limiter.costs[key]
}

// BackgroundTime returns how much of the Viewer's time background work has taken so
// far, and whether it takes all of its share.
func (c *Client) BackgroundTime() (spent time.Duration, usedUp bool) {
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent, l.usedUp
}

const (
	// shareWindow is the time over which the use of the share is judged.
	shareWindow = 30 * time.Second
	// fullShare is the part of the share from which on it counts as used up: a little
	// is lost between one piece of work and the next.
	fullShare = 0.9
)

// shareLimiter is the account of background time.
type shareLimiter struct {
	share    float64
	onChange func(usedUp bool)

	mu    sync.Mutex
	next  time.Time // all reserved work is paid for at that time, which may be past
	costs map[string]time.Duration
	time  viewerTime

	spent, spentBefore time.Duration // now, and when the window began
	windowStart        time.Time
	usedUp             bool
}

// newShareLimiter returns an account; onChange learns when the share begins to be used
// up, and when it does no longer.
func newShareLimiter(share float64, onChange func(usedUp bool)) *shareLimiter {
	return &shareLimiter{share: share, onChange: onChange, costs: make(map[string]time.Duration), windowStart: time.Now()}
}

// judge looks at a window that is over; called with mu held.
func (l *shareLimiter) judge(now time.Time) {
	elapsed := now.Sub(l.windowStart)
	if elapsed < shareWindow {
		return
	}
	usedUp := float64(l.spent-l.spentBefore) >= fullShare*l.share*float64(elapsed)
	l.spentBefore, l.windowStart = l.spent, now
	if usedUp != l.usedUp {
		l.usedUp = usedUp
		l.onChange(usedUp)
	}
}

// earliest is called with mu held.
func (l *shareLimiter) earliest(now time.Time) time.Time {
	if l.next.Before(now) {
		return now
	}
	return l.next
}

// reserve reserves time for one call, at the cost the key had last.
func (l *shareLimiter) reserve(key string) (start time.Time, reserved time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	start, reserved = l.earliest(now), l.costs[key]
	if oldest := now.Add(-burst); l.next.Before(oldest) {
		l.next = oldest
	}
	l.next = l.next.Add(l.delayFor(reserved))
	return start, reserved
}

// commit replaces the reserved cost by the real one.
func (l *shareLimiter) commit(key string, reserved, spent time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spent += spent
	l.judge(time.Now())
	if last := l.costs[key]; last > 0 {
		spent = min(spent, maxCostGrowth*last)
	}
	l.next = l.next.Add(l.delayFor(spent - reserved))
	if key == "" {
		return
	}
	if len(l.costs) >= maxCostKeys {
		clear(l.costs)
	}
	l.costs[key] = spent
}

// delayFor is how long background work must pause after work of a cost.
func (l *shareLimiter) delayFor(cost time.Duration) time.Duration {
	return time.Duration(float64(cost) / l.share)
}
