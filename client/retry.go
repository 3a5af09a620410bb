package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// Delays between attempts double from the first to the greatest one.
const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 10 * time.Second
)

// noLimit is a limit of attempts: none.
const noLimit = -1

// attempts counts how often a call was made, and waits in between.
type attempts struct {
	method   string // such as "TailMetrics"
	limit    int    // further attempts in a row
	failures int    // in a row
	onRetry  func(Retry)
}

func (c *connection) attempts(method string, limit int) *attempts {
	return &attempts{method: method[strings.LastIndex(method, "/")+1:], limit: limit, onRetry: c.onRetry}
}

// succeeded says that a call has got somewhere: the next delay is short again.
func (a *attempts) succeeded() { a.failures = 0 }

// wait returns after the delay that is due, or returns the error if it is final.
func (a *attempts) wait(ctx context.Context, err error) error {
	if !resumable(err) {
		return err
	}
	return a.again(ctx, err)
}

// again is wait for an error that the caller knows not to be final.
func (a *attempts) again(ctx context.Context, err error) error {
	a.failures++
	if a.limit != noLimit && a.failures > a.limit {
		return err
	}
	delay := a.delay(err)
	if a.onRetry != nil {
		a.onRetry(Retry{Method: a.method, Err: err, Wait: delay, Count: a.failures})
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &Error{Code: codes.Canceled, Message: err.Error(), cause: ctx.Err()}
	}
}

// delay is jittered, so that many clients of one server do not come at once.
func (a *attempts) delay(err error) time.Duration {
	base := min(firstDelay<<min(a.failures-1, 10), maxDelay)
	delay := time.Duration(float64(base) * (0.5 + rand.Float64()/2)) //nolint:gosec // no secret
	if e, ok := errors.AsType[*Error](err); ok {
		delay = max(delay, e.RetryAfter)
	}
	return delay
}

// resumable says whether a read may be tried again and a stream resumed: the
// server said UNAVAILABLE, or the call broke on its way. A server that is killed
// behind a proxy is INTERNAL, UNKNOWN or CANCELLED without a reason.
func resumable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.cause != nil {
		return false
	}
	switch e.Code {
	case codes.Unavailable:
		return true
	case codes.Internal, codes.Unknown, codes.Canceled:
		return e.Reason == ""
	default:
		return false
	}
}
