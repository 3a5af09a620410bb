package interceptor

import (
	"context"
	"net"
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

// errRevoked ends the calls of a token that is no longer valid.
var errRevoked = &apierr.Error{
	Code:    codes.Unauthenticated,
	Reason:  runicornapiv1.ErrorReason_ERROR_REASON_TOKEN_INVALID,
	Message: "the token of this call was revoked",
}

// errSlowRequest ends a call whose request does not come.
var errSlowRequest = apierr.OverLimit("request_time", "the request did not come in time")

// Handle is the function for grpc.InTapHandle.
func (t *Tap) Handle(ctx context.Context, info *tap.Info) (context.Context, error) {
	ctx = t.withHTTPPeer(ctx, info)
	token, err := t.Auth.authorize(bearer(info.Header.Get("authorization")), RoleOf(info.FullMethodName))
	if err == errNoToken && !t.failures.Allow() { //nolint:errorlint // it is that very error
		err = errFailedLogins
	}
	if err == nil {
		err = t.reserve(ctx, info.FullMethodName)
	}
	if deadline, ok := ctx.Deadline(); err != nil && (!ok || time.Until(deadline) <= maxRefusedDeadline) {
		t.Refused(ctx, info.FullMethodName, err)
		return ctx, err
	}
	c := &call{refusal: err}
	outer := ctx
	ctx, c.cancel = context.WithCancelCause(context.WithValue(ctx, callKey{}, c))
	c.received = t.Pending.Begin(err == nil, func() {
		t.Refused(ctx, info.FullMethodName, errSlowRequest)
		c.cancel(errSlowRequest)
	})
	context.AfterFunc(outer, c.received)
	if token != nil {
		stop := context.AfterFunc(token.revoked, func() { c.cancel(errRevoked) })
		context.AfterFunc(outer, func() { stop() })
	}
	return ctx, nil
}

// reserve counts a call until its context ends.
func (t *Tap) reserve(ctx context.Context, fullMethod string) error {
	open, most, limit := &t.calls, t.MaxCalls, "--max-calls"
	switch {
	case fullMethod == healthpb.Health_Watch_FullMethodName:
		open, most, limit = &t.watches, maxWatches, "health_watches"
	case RoleOf(fullMethod) == RoleNone:
		return nil // a probe must get its answer
	}
	if open.Add(1) > most {
		open.Add(-1)
		return apierr.OverLimit(limit, "%d calls of this kind are open, which is the most", most)
	}
	context.AfterFunc(ctx, func() { open.Add(-1) })
	return nil
}

type callKey struct{}

// call is what the tap keeps of a call.
type call struct {
	// refusal is what the interceptors answer in the place of the method.
	refusal  error
	cancel   context.CancelCauseFunc
	received func() // is called when the request is in
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
	if from := info.Header.Get(t.PeerHeader); ok && p.Addr.Network() == "bufconn" && len(from) == 1 {
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
