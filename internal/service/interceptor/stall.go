package interceptor

import (
	"context"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
)

// Stalls ends streams whose clients do not read. A history, an export or a download holds
// one of the few slots of its Viewer while it waits for its client, so only Max of them
// may wait for longer than After; beyond that, the one that has waited longest is ended.
// Each is ended after Limit. Live streams hold no more than a window of bytes, and are
// ended after LiveLimit.
type Stalls struct {
	After, Limit, LiveLimit time.Duration
	Max                     int

	mu      sync.Mutex
	stalled []*watchedStream // the longest waiting first
}

// NewStalls returns the limits of this server. Four exports may run at the same time, so
// one slot always remains for exports that do not wait.
func NewStalls(limit time.Duration) *Stalls {
	return &Stalls{After: min(5*time.Second, limit), Limit: limit, LiveLimit: max(15*time.Minute, limit), Max: 3}
}

// liveMethods hold no resource of a Viewer while they wait for their client.
var liveMethods = map[string]bool{
	runicornapiv1.MetricService_TailMetrics_FullMethodName:          true,
	runicornapiv1.ExperimentService_TailLogs_FullMethodName:         true,
	runicornapiv1.ExperimentService_WatchExperiments_FullMethodName: true,
	healthpb.Health_Watch_FullMethodName:                            true,
}

// flightService serves its streams by calls of the API, each of which is watched.
const flightService = "/arrow.flight.protocol.FlightService/"

// Unary does nothing: a unary call holds nothing while its response is sent.
func (s *Stalls) Unary(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	return handler(ctx, req)
}

// Stream watches how long a stream waits in each send.
func (s *Stalls) Stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c := callOf(ss.Context())
	if s == nil || c == nil {
		return handler(srv, ss)
	}
	ctx, cancel := c.methodContext(ss.Context())
	defer cancel(nil)
	w := &watchedStream{ServerStream: ss, ctx: ctx, stalls: s, call: c, after: s.After, rest: s.Limit - s.After}
	if liveMethods[info.FullMethod] || strings.HasPrefix(info.FullMethod, flightService) {
		w.after, w.rest = s.LiveLimit, 0
	}
	w.timer = time.AfterFunc(math.MaxInt64, w.onTimer)
	defer w.timer.Stop()
	return handler(srv, w)
}

// watchedStream is a stream on which one goroutine at a time sends.
type watchedStream struct {
	grpc.ServerStream
	ctx         context.Context //nolint:containedctx // a stream has one
	stalls      *Stalls
	call        *call
	after, rest time.Duration
	timer       *time.Timer // runs during a send

	// isStalled is set, with stalls.mu held, before sending is read. End does it in the
	// reverse order, so that one of the two sees the other.
	sending, isStalled atomic.Bool
}

// Context returns the context of the method.
func (w *watchedStream) Context() context.Context { return w.ctx }

// SendMsg sends one message.
func (w *watchedStream) SendMsg(m any) error {
	if w.ctx.Err() != nil {
		return context.Cause(w.ctx)
	}
	w.sending.Store(true)
	w.timer.Reset(w.after)
	err := w.ServerStream.SendMsg(m)
	w.timer.Stop()
	w.sending.Store(false)
	if w.isStalled.Load() {
		w.stalls.mu.Lock()
		w.stalls.remove(w)
		w.stalls.mu.Unlock()
	}
	return err
}

// remove requires mu to be held.
func (s *Stalls) remove(w *watchedStream) {
	w.isStalled.Store(false)
	s.stalled = slices.DeleteFunc(s.stalled, func(other *watchedStream) bool { return other == w })
}

// onTimer runs when a send takes too long.
func (w *watchedStream) onTimer() {
	s := w.stalls
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.isStalled.Load() || w.rest == 0 {
		if w.sending.Load() {
			w.giveUp()
		}
		return
	}
	w.isStalled.Store(true)
	if !w.sending.Load() {
		w.isStalled.Store(false)
		return
	}
	s.stalled = append(s.stalled, w)
	w.timer.Reset(w.rest)
	if len(s.stalled) > s.Max {
		s.stalled[0].giveUp()
		s.remove(s.stalled[0])
	}
}

func (w *watchedStream) giveUp() {
	cause := apierr.OverLimit("unread_stream",
		"the client has not read this stream for too long; read it faster, or resume it where it can be")
	w.call.end(cause)
	w.call.cancel(cause) // it is in a send
}
