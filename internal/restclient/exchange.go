package restclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

var (
	errTimeout   = errors.New("the viewer was slower than the limit")
	errOverLimit = errors.New("the answer is larger than the limit")
)

// maxBody limits a JSON body in bytes if the call has no other limit. Streams have none.
const maxBody = 64 << 20

// exchange is one request and its answer. It is the reader of the body: it counts bytes,
// enforces the limits of size and time, and releases the slot when closed. It belongs to
// one goroutine.
type exchange struct {
	c            *Client
	r            route
	q            call
	caller       context.Context //nolint:containedctx // an exchange is one call in flight
	ctx          context.Context //nolint:containedctx // the caller's, with our timeout
	cancel       context.CancelCauseFunc
	timer        *time.Timer
	release      func()
	releaseHeavy func() // releases the heavy slot of an archive
	start        time.Time
	began        time.Duration // start of a background call, for viewerTime
	resp         *http.Response
	sent         atomic.Bool // set by the transport once the headers are written
	read         int64
	limit        int64
	// end is the number of body bytes at which reading stops, and promised the number of
	// bytes that the Viewer announced; both are 0 if unknown.
	end, promised int64
	readErr       error // what ended reading
	kind          Kind
	done          bool
}

func newExchange(ctx context.Context, c *Client, r route, q call) *exchange {
	x := &exchange{c: c, r: r, q: q, caller: ctx, limit: cmp.Or(q.limit, c.maxBody)}
	if x.streams() {
		x.limit = -1
	}
	x.ctx, x.cancel = context.WithCancelCause(ctx)
	return x
}

// prepare builds the request, acquires a slot and checks the breaker. If it fails, the
// exchange is over.
func (x *exchange) prepare(ctx context.Context) (*http.Request, error) {
	req, err := x.c.newRequest(ctx, x.r, x.q)
	if err != nil {
		x.abandon()
		return nil, err
	}
	if err := x.acquireSlot(); err != nil {
		return nil, err
	}
	if wait := x.c.breaker.blocked(); wait > 0 {
		return nil, x.fail(&Error{Kind: KindUnreachable, RetryAfter: wait, Err: errBreakerOpen})
	}
	return req, nil
}

// acquireSlot waits for a slot and starts the timeout, which does not include waiting for
// our other calls.
func (x *exchange) acquireSlot() error {
	background := isBackground(x.caller)
	release, err := x.c.slots.acquire(x.caller, x.r.class, background)
	if err == nil && x.r.class == archive {
		if x.releaseHeavy, err = x.c.slots.acquire(x.caller, heavy, background); err != nil {
			release()
		}
	}
	if err != nil {
		x.abandon()
		return x.wrap(&Error{Kind: KindCanceled, Err: err})
	}
	x.release, x.start = release, time.Now()
	if background {
		x.began = x.c.limiter.time.begin()
	}
	x.timer = time.AfterFunc(x.timeout(), func() { x.cancel(errTimeout) })
	return nil
}

// timeout is the limit for a complete light or heavy call, or for the first byte of a
// stream, which the Viewer may have to pack first.
func (x *exchange) timeout() time.Duration {
	if x.r.deadline > 0 {
		return x.r.deadline
	}
	switch x.r.class {
	case light:
		return x.c.cfg.LightTimeout
	case stream, socket:
		return x.c.cfg.StallTimeout
	}
	return x.c.cfg.HeavyTimeout
}

// onHeaders handles the response headers: packing an archive is over then, and a stream has
// to send its next byte in time.
func (x *exchange) onHeaders(resp *http.Response) {
	x.resp = resp
	if x.releaseHeavy != nil {
		x.releaseHeavy()
	}
	if x.streams() {
		x.timer.Stop()
	}
}

// streams reports whether the reader determines how long the body takes. The timeout then
// runs only while waiting for bytes, because a slow reader is not the Viewer's fault.
func (x *exchange) streams() bool {
	return x.r.class == stream || x.r.class == archive || x.r.class == socket
}

// Read reads the body. Its errors are io.EOF or an *Error, and are sticky: a decoder that
// got bytes together with an error may call it again.
func (x *exchange) Read(p []byte) (int, error) {
	if x.resp == nil {
		return 0, io.EOF
	}
	if x.readErr != nil {
		return 0, x.readErr
	}
	if x.end > 0 {
		p = p[:min(int64(len(p)), x.end-x.read)]
		if len(p) == 0 { // more than limit bytes were not requested
			return 0, io.EOF
		}
	}
	if x.streams() {
		x.timer.Reset(x.c.cfg.StallTimeout)
		defer x.timer.Stop()
	}
	n, err := x.resp.Body.Read(p)
	x.read += int64(n)
	switch {
	case err == io.EOF && x.read < x.promised:
		x.readErr = x.failure(io.ErrUnexpectedEOF)
	case x.limit > 0 && x.read > x.limit:
		x.readErr = x.failure(errOverLimit)
	case err == io.EOF:
		x.readErr = err
	case err != nil:
		x.readErr = x.failure(err)
	}
	return n, x.readErr
}

// Close ends the exchange and releases the connection, the timer and the slot. An unread
// rest of the body costs the connection. Close may be called again.
func (x *exchange) Close() error {
	if x.done {
		return nil
	}
	x.done = true
	var err error
	status := 0
	if x.resp != nil {
		status = x.resp.StatusCode
		if err = x.resp.Body.Close(); err != nil {
			err = fmt.Errorf("close the body of %s %s: %w", x.r.method, x.r.path, err)
		}
	}
	x.timer.Stop()
	x.cancel(nil)
	if x.releaseHeavy != nil {
		x.releaseHeavy()
	}
	x.release()
	spent := time.Since(x.start)
	x.c.limiter.time.charge(x.caller, x.began)
	if x.c.cfg.Observer != nil {
		x.c.cfg.Observer.Observe(Observation{
			Viewer: x.c.cfg.Name, Method: x.r.method, Route: x.r.path, Status: status,
			Kind: x.kind, Duration: spent, Bytes: x.read,
		})
	}
	return err
}

// abandon ends an exchange that never had a slot.
func (x *exchange) abandon() {
	x.done = true
	x.cancel(nil)
}

// fail ends the exchange with an error.
func (x *exchange) fail(err error) error {
	return x.closeWith(x.failure(err))
}

// closeWith closes the exchange after err, which may be nil.
func (x *exchange) closeWith(err error) error {
	if closeErr := x.Close(); closeErr != nil {
		return errors.Join(err, closeErr)
	}
	return err
}

// failure returns the typed error for a failed exchange. The end of the caller's context
// comes first, because it explains all other errors.
func (x *exchange) failure(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return x.wrap(e)
	}
	lost := x.r.changes() && x.sent.Load()
	switch {
	case errors.Is(err, errOverLimit):
		return x.wrap(&Error{Kind: KindTooLarge, Status: x.status(), BytesDelivered: x.read, Err: err})
	case x.caller.Err() != nil:
		return x.wrap(&Error{Kind: either(lost, KindOutcomeUnknown, KindCanceled), Err: x.caller.Err()})
	case errors.Is(context.Cause(x.ctx), errTimeout):
		return x.wrap(&Error{Kind: either(lost, KindOutcomeUnknown, KindTimeout), BytesDelivered: x.read, Err: errTimeout})
	case lost:
		return x.wrap(&Error{Kind: KindOutcomeUnknown, Err: err})
	case x.resp != nil:
		return x.wrap(&Error{Kind: KindCutOff, Status: x.status(), BytesDelivered: x.read, Err: err})
	}
	return x.wrap(&Error{Kind: KindUnreachable, Err: err})
}

// wrap adds what the exchange knows to an error.
func (x *exchange) wrap(e *Error) *Error {
	e.Viewer, e.Method, e.Route, e.Capability = x.c.cfg.Name, x.r.method, x.r.path, x.q.cap
	switch e.Kind {
	case KindUnsupported:
		e.Action, e.Alternative, e.ViewerVersion = x.r.action, x.r.alternative, x.c.lastCapabilities().Version
	case KindUnreachable:
		e.Address = x.c.BaseURL()
	}
	x.kind = e.Kind
	return e
}

// malformed returns the error for an invalid body, unless reading it failed first.
func (x *exchange) malformed(err error) error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return x.wrap(&Error{Kind: KindMalformed, Status: x.status(), BytesDelivered: x.read, Err: err})
}

func (x *exchange) status() int {
	if x.resp == nil {
		return 0
	}
	return x.resp.StatusCode
}

func either(cond bool, a, b Kind) Kind {
	if cond {
		return a
	}
	return b
}
