package restclient

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

const (
	maxAttempts = 3                      // the first and two more
	retryBase   = 100 * time.Millisecond // doubled by each attempt, halved to one and a half times by jitter
	budgetRatio = 0.1                    // what one call earns for retries
	budgetCap   = 10.0
)

// retryBudget bounds retries to a tenth of the calls, so that an outage is
// not met with a multiple of the usual load.
type retryBudget struct {
	mu     sync.Mutex
	tokens float64
}

func newRetryBudget() *retryBudget { return &retryBudget{tokens: budgetCap} }

func (b *retryBudget) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+budgetRatio, budgetCap)
}

func (b *retryBudget) spend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// shouldRetry waits and reports whether a failed attempt may be made again.
// Only light reads are: a Viewer continues with an abandoned heavy call, so a
// repetition would cost it twice, and a change must not happen twice.
func (c *Client) shouldRetry(ctx context.Context, r route, err error, attempt int) bool {
	if attempt == 1 {
		c.budget.earn()
	}
	if r.changes() || r.class == heavy || r.class == archive || r.class == ssh || attempt >= maxAttempts || !transient(err) {
		return false
	}
	wait := time.Duration(float64(retryBase<<(attempt-1)) * (0.5 + rand.Float64())) //nolint:gosec // jitter is no secret
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if !c.budget.spend() {
		return false
	}
	return sleep(ctx, wait) == nil
}

// transient reports whether a failure is one of the connection, or a 502 or
// 504 of a proxy. Our own timeout is none: the Viewer is still at work.
func transient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok || errors.Is(err, errBreakerOpen):
		return false
	case e.Status != 0:
		return e.Status == http.StatusBadGateway || e.Status == http.StatusGatewayTimeout
	}
	return e.Kind == KindUnreachable
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
