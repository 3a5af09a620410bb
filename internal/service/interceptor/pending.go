package interceptor

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// MaxRequest is the size of the largest request, in bytes.
const MaxRequest = 1 << 20

// maxPending is how many requests may be late without being in a hurry, and
// MaxPendingBytes what they may take.
const (
	maxPending      = 128
	MaxPendingBytes = maxPending * MaxRequest
)

// NewPending returns the bound of this server.
func NewPending() *Pending {
	return &Pending{Max: maxPending, Timeout: 10 * time.Second, Crowded: 250 * time.Millisecond}
}

// Pending bounds what has not come yet of requests, over gRPC and HTTP: each of them
// may take as much memory as the largest one. The first Max may take Timeout to
// come; more of them get Crowded, unless it is less crowded then. So no burst of
// ordinary requests is refused, and thousands that are held back are gone at once.
type Pending struct {
	Max              int64
	Timeout, Crowded time.Duration

	open atomic.Int64
}

// Begin counts a request until done is called, as often as one likes. It calls giveUp
// when the time is up. A request that is not trusted gets the shorter time.
func (p *Pending) Begin(trusted bool, giveUp func()) (done func()) {
	wait, rest := p.Timeout, time.Duration(0)
	if crowded := p.open.Add(1) > p.Max; crowded || !trusted {
		wait, rest = p.Crowded, p.Timeout-p.Crowded
	}
	var over atomic.Bool
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		switch {
		case over.Load():
		case rest > 0 && trusted && p.open.Load() <= p.Max:
			timer.Reset(rest)
			rest = 0
		default:
			giveUp()
		}
	})
	timer.Reset(wait)
	return func() {
		if over.CompareAndSwap(false, true) {
			timer.Stop()
			p.open.Add(-1)
		}
	}
}

// Rate allows what happens up to ten times a second, and a hundred times at once. The
// zero value is ready, and safe for concurrent use.
type Rate struct {
	mu   sync.Mutex
	used float64
	last time.Time
}

const (
	ratePerSecond = 10
	rateBurst     = 100
)

// Allow counts one event, and says whether it is within the rate.
func (r *Rate) Allow() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	r.used = max(0, r.used-ratePerSecond*now.Sub(r.last).Seconds())
	r.last = now
	if r.used+1 > rateBurst {
		return false
	}
	r.used++
	return true
}
