package tail

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/freshstack"
)

// defaultHeartbeat is how long a stream is silent at most where the request does
// not say.
const defaultHeartbeat = 15 * time.Second

// heartbeatInterval reads a request's interval.
func heartbeatInterval(d *durationpb.Duration) time.Duration {
	if d == nil {
		return defaultHeartbeat
	}
	return d.AsDuration()
}

// heartbeatTimer says when the next heartbeat of a stream is due. Sending a message only moves
// the time: the timer finds out when it fires, so that messages cost none.
type heartbeatTimer struct {
	interval time.Duration
	due      time.Time
	timer    *time.Timer
}

// start sets the first one. It must be stopped.
func (t *heartbeatTimer) start(first time.Duration) {
	t.due, t.timer = time.Now().Add(first), time.NewTimer(first)
}

func (t *heartbeatTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// messageSent moves the next heartbeat: the stream was not silent.
func (t *heartbeatTimer) messageSent() { t.due = time.Now().Add(t.interval) }

// isDue says, when the timer has fired, whether the stream was silent until now.
func (t *heartbeatTimer) isDue() bool {
	if wait := time.Until(t.due); wait > 0 {
		t.timer.Reset(wait)
		return false
	}
	t.timer.Reset(t.interval)
	return true
}

// upstreamStates are the contract's values, and severity which of two is worse.
var upstreamStates = map[follow.UpstreamState]runicornapiv1.UpstreamState{
	follow.UpstreamUnknown:     runicornapiv1.UpstreamState_UPSTREAM_STATE_UNSPECIFIED,
	follow.UpstreamOK:          runicornapiv1.UpstreamState_UPSTREAM_STATE_OK,
	follow.UpstreamFailing:     runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING,
	follow.UpstreamRateLimited: runicornapiv1.UpstreamState_UPSTREAM_STATE_RATE_LIMITED,
}

var severity = map[follow.UpstreamState]int{
	follow.UpstreamOK: 0, follow.UpstreamUnknown: 1, follow.UpstreamRateLimited: 2, follow.UpstreamFailing: 3,
}

// healthSummary puts the health of several runs together: the state of the worst, the
// oldest success, and the sum of what is countable.
type healthSummary struct {
	worst       follow.Health
	nonEmpty    bool
	behindBytes int64
	newest      float64
	interval    time.Duration
	counts      eventlog.Counts
}

// add adds one.
func (s *healthSummary) add(h *follow.Health) {
	oldest := h.LastSuccess
	if s.nonEmpty && s.worst.LastSuccess.Before(oldest) {
		oldest = s.worst.LastSuccess
	}
	if !s.nonEmpty || severity[h.State] > severity[s.worst.State] {
		s.worst = *h
	}
	s.worst.LastSuccess = oldest
	if s.behindBytes < 0 || h.BehindBytes < 0 {
		s.behindBytes = -1
	} else {
		s.behindBytes += h.BehindBytes
	}
	if h.HasNewest {
		s.newest = max(s.newest, h.NewestTime)
	}
	s.interval = max(s.interval, h.PollInterval)
	s.counts.Add(h.Counts)
	s.nonEmpty = true
}

// message is the heartbeat.
func (s *healthSummary) message(ctx context.Context) *runicornapiv1.Heartbeat {
	out := &runicornapiv1.Heartbeat{
		LastSuccessTime:       convert.Time(s.worst.LastSuccess),
		UpstreamState:         upstreamStates[s.worst.State],
		MalformedLineCount:    int64(s.counts.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(s.counts.LinesWithoutStep), //nolint:gosec // as above
		Limitations:           s.counts.Limitations(),
	}
	if s.worst.LastError != nil {
		_ = freshstack.Run(func() error { // returns no error
			out.LastError = errmap.Status(ctx, s.worst.LastError).Proto()
			return nil
		})
	}
	if s.nonEmpty && s.behindBytes >= 0 {
		out.BehindBytes = &s.behindBytes
	}
	if s.interval > 0 {
		out.PollInterval = durationpb.New(s.interval)
	}
	if s.newest > 0 {
		out.NewestPointTime = convert.UnixTime(s.newest)
	}
	return out
}
