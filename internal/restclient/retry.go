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
	maxAttempts = 3                      // including the first
	retryBase   = 100 * time.Millisecond // doubled for each attempt, with jitter of 0.5 to 1.5
	budgetRatio = 0.1                    // retries per call
	budgetCap   = 10.0
)

// retryBudget limits retries to a tenth of the calls, so that an outage does not multiply
// the load.
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

// shouldRetry waits and reports whether a failed attempt may be repeated. Only light reads
// are: a Viewer continues with an abandoned heavy call, so repeating it would cost twice,
// and a change must not happen twice.
func (c *Client) shouldRetry(ctx context.Context, r route, err error, attempt int) bool {
	if attempt == 1 {
		c.budget.earn()
	}
	if r.changes() || r.class == heavy || r.class == archive || r.class == ssh || attempt >= maxAttempts || !transient(err) {
		return false
	}
	wait := time.Duration(float64(retryBase<<(attempt-1)) * (0.5 + rand.Float64())) //nolint:gosec // jitter needs no secure randomness
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= wait {
		return false
	}
	if !c.budget.spend() {
		return false
	}
	return sleep(ctx, wait) == nil
}

// transient reports whether a failure is a connection failure, or a 502 or 504 from a
// proxy. Our own timeout is not: the Viewer is still working on the call.
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
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
