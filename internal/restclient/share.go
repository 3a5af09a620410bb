package restclient

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Background work is work that no caller is waiting for: the scheduler's polls, refreshed
// lists, health checks. It is marked in the context, waits for a slot behind foreground
// calls, and uses at most Config.Share of the Viewer's time: with a share of one fifth,
// calls that cost the Viewer 100 ms are followed by 400 ms without background work. Unused
// time of the last seconds is kept, so that a few calls may be made at once to a quiet
// Viewer.

const (
	// maxCostKeys limits the remembered costs; the oldest are dropped first.
	maxCostKeys = 4096
	// burst is how much unused time is kept. A Viewer that was just started needs a quarter
	// of a second to build its description and blocks all other calls meanwhile: without a
	// burst, the first tail would pay for that with seconds without points.
	burst = 3 * time.Second
	// maxCostGrowth is the maximum growth of a charged cost over the last one of the same
	// key. A call that takes much longer than before was probably waiting for others in the
	// Viewer or for a busy machine; if it really costs that much now, the next calls will
	// show it.
	maxCostGrowth = 4
)

type backgroundKey struct{}

// meter adds up the Viewer's time of the calls made under one context.
type meter struct{ spent atomic.Int64 }

func isBackground(ctx context.Context) bool { return ctx.Value(backgroundKey{}) != nil }

// charge ends a call started with begin, and charges its Viewer time to the background work
// it belongs to, if any.
func (u *viewerTime) charge(ctx context.Context, began time.Duration) {
	if m, ok := ctx.Value(backgroundKey{}).(*meter); ok {
		m.spent.Add(int64(u.end(began)))
	}
}

// viewerTime measures what background calls cost the Viewer. A Viewer does one thing at a
// time, so concurrent calls slow each other down: the time is divided equally among them,
// and together they cost the time during which at least one was in flight.
type viewerTime struct {
	mu      sync.Mutex
	running int
	at      time.Time     // of the last change
	each    time.Duration // the cost so far of a hypothetical call that never ends
}

// begin records the start of a call. The result is for end.
func (u *viewerTime) begin() time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	u.running++
	return u.each
}

// end records the end of a call and returns its cost.
func (u *viewerTime) end(began time.Duration) time.Duration {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance()
	u.running--
	return u.each - began
}

// advance updates the cost. u.mu must be held.
func (u *viewerTime) advance() {
	now := time.Now()
	if u.running > 0 {
		u.each += now.Sub(u.at) / time.Duration(u.running)
	}
	u.at = now
}

// Background runs work as background work: it waits until the share allows a start, then
// calls work with a context under which every call of this client waits behind foreground
// calls. key names a kind of work with similar cost from call to call, such as "list" or
// "table "+runID; the last cost of the key is reserved until the real cost is known. The
// error is the context's or that of work.
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

// Cost returns the cost of the last work of a key, 0 if unknown.
func (c *Client) Cost(key string) time.Duration {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	return c.limiter.costs[key]
}

// BackgroundTime returns how much of the Viewer's time background work has used so far, and
// whether it uses up its share.
func (c *Client) BackgroundTime() (spent time.Duration, usedUp bool) {
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.spent, l.usedUp
}

const (
	// shareWindow is the period over which use of the share is measured.
	shareWindow = 30 * time.Second
	// fullShare is the fraction of the share above which it is used up: a little is always
	// lost between two pieces of work.
	fullShare = 0.9
)

// shareLimiter accounts for background time.
type shareLimiter struct {
	share    float64
	onChange func(usedUp bool)

	mu    sync.Mutex
	next  time.Time // when all reserved work is paid for; may be in the past
	costs map[string]time.Duration
	time  viewerTime

	spent, spentBefore time.Duration // now, and at the start of the window
	windowStart        time.Time
	usedUp             bool
}

// newShareLimiter returns a limiter. onChange is called when the share starts or stops
// being used up.
func newShareLimiter(share float64, onChange func(usedUp bool)) *shareLimiter {
	return &shareLimiter{share: share, onChange: onChange, costs: make(map[string]time.Duration), windowStart: time.Now()}
}

// judge evaluates a window that is over. l.mu must be held.
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

// earliest returns when work may start. l.mu must be held.
func (l *shareLimiter) earliest(now time.Time) time.Time {
	if l.next.Before(now) {
		return now
	}
	return l.next
}

// reserve reserves time for one call, at the last cost of the key.
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

// commit replaces the reserved cost with the real one.
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

// delayFor returns how long background work must pause after work of a cost.
func (l *shareLimiter) delayFor(cost time.Duration) time.Duration {
	return time.Duration(float64(cost) / l.share)
}
