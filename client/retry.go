package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The delay before a retry doubles from firstDelay to maxDelay.
const (
	firstDelay = 200 * time.Millisecond
	maxDelay   = 10 * time.Second
)

// noLimit is the limit of attempts that are not limited.
const noLimit = -1

// attempts counts the failed attempts of a call, and waits between attempts.
type attempts struct {
	method   string // such as "TailMetrics"
	limit    int    // consecutive retries
	failures int    // consecutive
	onRetry  func(Retry)
}

func (c *connection) attempts(method string, limit int) *attempts {
	return &attempts{method: method[strings.LastIndex(method, "/")+1:], limit: limit, onRetry: c.onRetry}
}

// succeeded records that a call made progress, which resets the delay.
func (a *attempts) succeeded() { a.failures = 0 }

// wait returns nil after the delay, or immediately returns an error that is final.
func (a *attempts) wait(ctx context.Context, err error) error {
	if !resumable(err) {
		return err
	}
	return a.again(ctx, err)
}

// again is wait for an error that is never final by itself.
func (a *attempts) again(ctx context.Context, err error) error {
	a.failures++
	if a.limit != noLimit && a.failures > a.limit {
		return err
	}
	delay := a.delay(err)
	if a.onRetry != nil {
		a.onRetry(Retry{Method: a.method, Err: err, Wait: delay, Count: a.failures})
	}
	select {
	case <-time.After(delay):
		return nil
	case <-ctx.Done():
		return &Error{Code: status.FromContextError(ctx.Err()).Code(), Message: err.Error(), cause: ctx.Err()}
	}
}

// delay is jittered, so that many clients of one server do not retry at the same time.
func (a *attempts) delay(err error) time.Duration {
	base := min(firstDelay<<min(a.failures-1, 10), maxDelay)
	delay := time.Duration(float64(base) * (0.5 + rand.Float64()/2)) //nolint:gosec // no secret
	if e, ok := errors.AsType[*Error](err); ok {
		delay = max(delay, e.RetryAfter)
	}
	return delay
}

// resumable reports whether a read may be retried and a stream resumed: the status is
// UNAVAILABLE, or the connection failed. Proxies report a killed server as INTERNAL,
// UNKNOWN or CANCELLED without a reason.
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
