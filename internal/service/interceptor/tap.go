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

// Tap decides about calls when their headers are there, before any of a message is
// read: what it refuses costs no memory. grpc-go calls it with a lock held, so
// nothing in it waits.
type Tap struct {
	Auth *Authorizer
	// Pending bounds what has not come yet of requests.
	Pending *Pending
	// MaxCalls is how many calls may be open at once, over all connections.
	MaxCalls int64
	// PerToken is how many calls of one token may be open at once.
	PerToken TokenLimits
	// PeerHeader is how the HTTP side says who calls. It is believed on the connection
	// in memory only.
	PeerHeader string
	// Refused hears of calls that are refused here; it must not wait.
	Refused func(ctx context.Context, fullMethod string, err error)

	calls, watches atomic.Int64
	failures       Rate
}

// maxWatches is how many calls of Health/Watch may be open, which need no token.
const maxWatches = 1000

// maxRefusedDeadline is the longest deadline of a call that is refused at once.
// grpc-go keeps the timer of the deadline of such a call until it fires, so calls
// with a longer one are refused by the interceptors, when their message is in.
const maxRefusedDeadline = 30 * time.Second

// errFailedLogins answers calls without a valid token beyond the limit of such calls.
// It is no obstacle for those with one.
var errFailedLogins = &apierr.Error{
	Code:     codes.ResourceExhausted,
	Reason:   runicornapiv1.ErrorReason_ERROR_REASON_SERVER_LIMIT,
	Message:  "too many calls without a valid token; calls with one are served",
	Metadata: map[string]string{"limit": "failed_logins"},
	Details:  []proto.Message{apierr.RetryInfo(0)},
}

// errSlowRequest ends a call whose request does not come.
var errSlowRequest = apierr.OverLimit("request_time", "the request did not come in time")

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

// reserve counts a call, over all callers and for its own.
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

// reserveOfAll counts a call, and returns in what; nil is in nothing.
func (t *Tap) reserveOfAll(fullMethod string) (*atomic.Int64, error) {
	open, most, limit := &t.calls, t.MaxCalls, "--max-calls"
	switch {
	case fullMethod == healthpb.Health_Watch_FullMethodName:
		open, most, limit = &t.watches, maxWatches, "health_watches"
	case RoleOf(fullMethod) == RoleNone:
		return nil, nil // a probe must get its answer
	}
	if open.Add(1) > most {
		open.Add(-1)
		return nil, apierr.OverLimit(limit, "%d calls of this kind are open, which is the most", most)
	}
	return open, nil
}

type callKey struct{}

// call is what the tap keeps of a call.
type call struct {
	// refusal is what the interceptors answer in the place of the method.
	refusal  error
	cancel   context.CancelCauseFunc // of the context of the transport
	received func()                  // is called when the request is in
	unwatch  func()                  // ends the watch of the token, where there is one
	// open and ofToken count the call, where they are not nil.
	open, ofToken *atomic.Int64

	mu     sync.Mutex
	cause  *apierr.Error           // why this server has ended the call
	method context.CancelCauseFunc // of the context of the method, where it has one
}

// watch has the call end when its token does, or the certificate by which it is made.
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

// finish is called when the call is over.
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

// sendGrace is how long a send may continue in a call that this server ends. When the
// context of the transport ends in a send, grpc-go tells the client CANCELLED, and
// not why.
const sendGrace = time.Second

// end ends a call: its method first, so that the client hears why.
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

// methodContext makes the context of the method.
func (c *call) methodContext(ctx context.Context) (context.Context, context.CancelCauseFunc) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, c.method = context.WithCancelCause(ctx)
	if c.cause != nil {
		c.method(c.cause)
	}
	return ctx, c.method
}

// endedBy returns why this server has ended a call; nil if it has not.
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

// requestReceived notes that the request of a call is in.
func requestReceived(ctx context.Context) {
	if c := callOf(ctx); c != nil {
		c.received()
	}
}

// withHTTPPeer makes the caller of the HTTP side the peer of its call.
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

// Network says which way the caller came.
func (httpPeer) Network() string { return "http" }

// String returns the address.
func (p httpPeer) String() string { return string(p) }
