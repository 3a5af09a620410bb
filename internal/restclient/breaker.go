package restclient

import (
	"errors"
	"sync"
	"syscall"
	"time"
)

const (
	breakerThreshold = 5           // consecutive refused connections
	breakerCooldown  = time.Second // how long calls fail without a connection attempt
)

var errBreakerOpen = errors.New("the viewer refused the last connections; the next attempt follows soon")

// breaker fails calls at once while nothing listens at the Viewer's address. Only refused
// connections open it: a Viewer that is slow, even for minutes, is alive, and its answers
// must not be discarded.
type breaker struct {
	onOpen func() // called when it opens, not while it stays open

	mu      sync.Mutex
	refused int
	until   time.Time // open until then; afterwards one probe at a time
}

// blocked returns how long to wait before the next attempt, 0 if the call may go.
func (b *breaker) blocked() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refused < breakerThreshold {
		return 0
	}
	now := time.Now()
	if wait := b.until.Sub(now); wait > 0 {
		return wait
	}
	// Half open: this call is the probe. Others wait for its result, or for the cooldown if
	// it never reports.
	b.until = now.Add(breakerCooldown)
	return 0
}

// record updates the state with the outcome of a round trip.
func (b *breaker) record(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !errors.Is(err, syscall.ECONNREFUSED) {
		b.refused = 0
		return
	}
	if b.refused++; b.refused >= breakerThreshold {
		b.until = time.Now().Add(breakerCooldown)
	}
	if b.refused == breakerThreshold {
		b.onOpen()
	}
}
