package interceptor

import (
	"math"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// MaxRequest is the maximum size of a request in bytes.
const MaxRequest = 1 << 20

// maxPending is the number of incomplete requests up to which each may take
// Pending.Timeout. MaxPendingBytes is their maximum total size.
const (
	maxPending      = 128
	MaxPendingBytes = maxPending * MaxRequest
)

// NewPending returns the limits of this server.
func NewPending() *Pending {
	return &Pending{Max: maxPending, Timeout: 10 * time.Second, Crowded: 250 * time.Millisecond, Heap: heapBytes}
}

// Pending limits the memory of requests that have not been received completely, over gRPC
// and HTTP: each may take MaxRequest bytes. The first Max may take Timeout to arrive. A
// request beyond Max is ended when it is incomplete after Crowded, if the memory of the
// process has grown by the size of Max requests since Max was exceeded: then the requests
// are large and are being withheld. A burst of small requests does not use that memory,
// so it is not affected even on a slow machine.
type Pending struct {
	Max              int64
	Timeout, Crowded time.Duration
	Heap             func() int64 // returns the memory of the process in bytes

	open, base atomic.Int64 // base is the value of Heap when Max was exceeded
}

// Begin counts a request until done is called; done may be called more than once. GiveUp
// is called when the time is over. A request that is not trusted gets Crowded.
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

// isFull reports whether the incomplete requests take too much memory.
func (p *Pending) isFull() bool {
	return p.open.Load() > p.Max && p.Heap() > p.base.Load()+p.Max*MaxRequest
}

// heapBytes returns the memory of the objects of this process.
func heapBytes() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // no machine has more
}

// Rate is a limit of ten events per second with a burst of a hundred. The zero value is
// ready, and safe for concurrent use.
type Rate struct {
	mu   sync.Mutex
	used float64
	last time.Time
}

const (
	ratePerSecond = 10
	rateBurst     = 100
)

// Allow counts an event, and reports whether it is within the limit.
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
