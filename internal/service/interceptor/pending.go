package interceptor

import (
	"math"
	"runtime/metrics"
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
	return &Pending{Max: maxPending, Timeout: 10 * time.Second, Crowded: 250 * time.Millisecond, Heap: heapBytes}
}

// Pending bounds what has not come yet of requests, over gRPC and HTTP: each of them
// may take as much memory as the largest one. The first Max may take Timeout to
// come. Of those beyond it each that is late by Crowded ends, if the memory has grown
// since by what Max of them may take: then they are large, and held back. A burst of
// ordinary requests takes no memory, and is not hit however slow the machine is.
type Pending struct {
	Max              int64
	Timeout, Crowded time.Duration
	Heap             func() int64 // the memory of the process, in bytes

	open, base atomic.Int64 // base is the memory when Max was passed
}

// Begin counts a request until done is called, as often as one likes. It calls giveUp
// when the time is up. A request that is not trusted gets the shorter time.
func (p *Pending) Begin(trusted bool, giveUp func()) (done func()) {
	wait, began := p.Timeout, time.Now()
	n := p.open.Add(1)
	if n == p.Max+1 {
		p.base.Store(p.Heap())
	}
	if n > p.Max || !trusted {
		wait = p.Crowded
	}
	var over atomic.Bool
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		switch {
		case over.Load():
		case trusted && time.Since(began) < p.Timeout && !p.isFull():
			timer.Reset(p.Crowded)
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

// isFull says whether the requests that have not come take too much.
func (p *Pending) isFull() bool {
	return p.open.Load() > p.Max && p.Heap() > p.base.Load()+p.Max*MaxRequest
}

// heapBytes is the memory of the objects of this process.
func heapBytes() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // no machine has more
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
