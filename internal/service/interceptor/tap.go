package interceptor

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Tap refuses calls when their headers have arrived, before any of the message is read,
// so that refused calls cost no memory. grpc-go calls it with a lock held, so it must not
// block.
type Tap struct {
	Auth *Authorizer
	// Pending limits the requests that have not been received completely.
	Pending *Pending
	// MaxCalls is the maximum number of open calls, over all connections.
	MaxCalls int64
	// PerToken is the maximum number of open calls with one token.
	PerToken TokenLimits
	// PeerHeader is the metadata key in which the HTTP side sends the address of its
	// caller. It is ignored except on the in-memory connection.
	PeerHeader string
	// Refused is called for calls that are refused here; it must not block.
	Refused func(ctx context.Context, fullMethod string, err error)

	calls, watches atomic.Int64
	failures       Rate
}

// maxWatches is the maximum number of open calls of Health/Watch, which need no token.
const maxWatches = 1000

// maxRefusedDeadline is the longest deadline of a call that the tap refuses. grpc-go
// keeps the timer of a refused call's deadline until it fires, so calls with a longer one
// are refused by the interceptors, after their message was received.
const maxRefusedDeadline = 30 * time.Second

// errFailedLogins refuses calls without a valid token beyond the rate limit. Calls with a
// valid token are not affected.
var errFailedLogins = &apierr.Error{
	Code:     codes.ResourceExhausted,
	Reason:   runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
	Message:  "too many calls without a valid token; calls with a valid token are still served",
	Metadata: map[string]string{"limit": "failed_logins"},
	Details:  []proto.Message{apierr.RetryInfo(0)},
}

// errSlowRequest ends a call whose request does not arrive in time.
var errSlowRequest = apierr.OverLimit("request_time", "the request did not arrive in time")

// Handle is the function for grpc.InTapHandle.
func (t *Tap) Handle(ctx context.Context, info *tap.Info) (context.Context, error) {
	who := t.Auth.identify(info.Header.Get("authorization"), clientCert(ctx, info))
	ctx = who.in(t.withHTTPPeer(ctx, info))
	err := who.check(info.FullMethodName, RoleOf(info.FullMethodName))
	if err != nil && err == who.err && !t.failures.Allow() { //nolint:errorlint // it is that very error
		err = errFailedLogins
	}
	c := &call{}
	if err == nil {
		err = t.reserve(c, who, info.FullMethodName)
	}
	if deadline, ok := ctx.Deadline(); err != nil && (!ok || time.Until(deadline) <= maxRefusedDeadline) {
		t.Refused(ctx, info.FullMethodName, err)
		return ctx, err
	}
	c.refusal = err
	outer := ctx
	ctx, c.cancel = context.WithCancelCause(context.WithValue(ctx, callKey{}, c))
	c.received = t.Pending.Begin(err == nil, func() {
		t.Refused(ctx, info.FullMethodName, errSlowRequest)
		c.end(errSlowRequest)
	})
	if who.grant != nil && who.err == nil {
		c.watch(who)
	}
	context.AfterFunc(outer, c.finish)
	return ctx, nil
}

// reserve counts a call, in total and for its caller.
func (t *Tap) reserve(c *call, who *caller, fullMethod string) (err error) {
	if c.open, err = t.reserveOfAll(fullMethod); err != nil {
		return err
	}
	if c.ofToken, err = t.PerToken.reserve(who, fullMethod); err != nil && c.open != nil {
		c.open.Add(-1)
		c.open = nil
	}
	return err
}

// reserveOfAll counts a call, and returns the counter; nil if the call is not counted.
func (t *Tap) reserveOfAll(fullMethod string) (*atomic.Int64, error) {
	open, most, limit := &t.calls, t.MaxCalls, "--max-calls"
	switch {
	case fullMethod == healthpb.Health_Watch_FullMethodName:
		open, most, limit = &t.watches, maxWatches, "health_watches"
	case RoleOf(fullMethod) == RoleNone:
		return nil, nil // health checks are not limited
	}
	if open.Add(1) > most {
		open.Add(-1)
		return nil, apierr.OverLimit(limit, "%d calls of this kind are open, which is the maximum", most)
	}
	return open, nil
}

type callKey struct{}

// call is the state of a call that the tap keeps.
type call struct {
	// refusal is the error that the interceptors return instead of calling the method.
	refusal  error
	cancel   context.CancelCauseFunc // of the context of the transport
	received func()                  // called when the request was received
	unwatch  func()                  // ends the watch of the token; may be nil
	// open and ofToken are the counters that include this call; they may be nil.
	open, ofToken *atomic.Int64

	mu     sync.Mutex
	cause  *apierr.Error           // why this server has ended the call; nil if it has not
	method context.CancelCauseFunc // of the context of the method; may be nil
}

// watch ends the call when its token or its client certificate becomes invalid.
func (c *call) watch(who *caller) {
	stop := context.AfterFunc(who.grant.ctx, func() {
		if cause, ok := errors.AsType[*apierr.Error](context.Cause(who.grant.ctx)); ok {
			c.end(cause)
		}
	})
	c.unwatch = func() { stop() }
	if who.isByCert() {
		expiry := time.AfterFunc(time.Until(who.cert.NotAfter), func() { c.end(errCertExpired) })
		c.unwatch = func() { stop(); expiry.Stop() }
	}
}

// finish releases what the call holds.
func (c *call) finish() {
	c.received()
	if c.unwatch != nil {
		c.unwatch()
	}
	for _, count := range []*atomic.Int64{c.open, c.ofToken} {
		if count != nil {
			count.Add(-1)
		}
	}
}

// sendGrace is how long a blocked send may continue in a call that this server ends. If
// the context of the transport ends during a send, grpc-go reports CANCELLED to the
// client instead of the cause.
const sendGrace = time.Second

// end ends a call: the method first, so that the client gets the cause.
func (c *call) end(cause *apierr.Error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause == nil {
		c.cause = cause
	}
	if c.method == nil {
		c.cancel(cause)
		return
	}
	c.method(cause)
	time.AfterFunc(sendGrace, func() { c.cancel(cause) })
}

// methodContext returns the context of the method.
func (c *call) methodContext(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, c.method = context.WithCancelCause(ctx)
	if c.cause != nil {
		c.method(c.cause)
	}
	return ctx, c.method
}

// endedBy returns the cause with which this server has ended a call; nil if it has not.
func endedBy(ctx context.Context) *apierr.Error {
	c := callOf(ctx)
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cause
}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// requestReceived records that the request of a call was received.
func requestReceived(ctx context.Context) {
	if c := callOf(ctx); c != nil {
		c.received()
	}
}

// withHTTPPeer sets the caller of the HTTP side as the peer of its call.
func (t *Tap) withHTTPPeer(ctx context.Context, info *tap.Info) context.Context {
	p, ok := peer.FromContext(ctx)
	if from := info.Header.Get(t.PeerHeader); ok && p.Addr.Network() == inMemory && len(from) == 1 {
		return peer.NewContext(ctx, &peer.Peer{Addr: httpPeer(from[0])})
	}
	return ctx
}

// httpPeer is the address of a caller of the HTTP side.
type httpPeer string

var _ net.Addr = httpPeer("")

// Network returns "http".
func (httpPeer) Network() string { return "http" }

// String returns the address.
func (p httpPeer) String() string { return string(p) }
