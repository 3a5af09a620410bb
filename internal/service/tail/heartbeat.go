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

// defaultHeartbeat is the maximum time without a message if the request does not set it.
const defaultHeartbeat = 15 * time.Second

// heartbeatInterval returns the interval of a request, within its bounds.
func heartbeatInterval(d *durationpb.Duration) time.Duration {
	if d == nil {
		return defaultHeartbeat
	}
	return d.AsDuration()
}

// heartbeatTimer fires when the next heartbeat of a stream is due. Sending a message only
// changes the due time; the timer checks it when it fires, so that messages do not reset
// a timer.
type heartbeatTimer struct {
	interval time.Duration
	due      time.Time
	timer    *time.Timer
}

// start starts the timer. The caller must stop it.
func (t *heartbeatTimer) start(first time.Duration) {
	t.due, t.timer = time.Now().Add(first), time.NewTimer(first)
}

func (t *heartbeatTimer) stop() {
	if t.timer != nil {
		t.timer.Stop()
	}
}

// messageSent postpones the next heartbeat.
func (t *heartbeatTimer) messageSent() { t.due = time.Now().Add(t.interval) }

// isDue reports, after the timer has fired, whether a heartbeat is due.
func (t *heartbeatTimer) isDue() bool {
	if wait := time.Until(t.due); wait > 0 {
		t.timer.Reset(wait)
		return false
	}
	t.timer.Reset(t.interval)
	return true
}

// upstreamStates maps to the contract's values; a greater severity is worse.
var upstreamStates = map[follow.UpstreamState]runicornapiv1.UpstreamState{
	follow.UpstreamUnknown:     runicornapiv1.UpstreamState_UPSTREAM_STATE_UNSPECIFIED,
	follow.UpstreamOK:          runicornapiv1.UpstreamState_UPSTREAM_STATE_OK,
	follow.UpstreamFailing:     runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING,
	follow.UpstreamRateLimited: runicornapiv1.UpstreamState_UPSTREAM_STATE_RATE_LIMITED,
}

var severity = map[follow.UpstreamState]int{
	follow.UpstreamOK: 0, follow.UpstreamUnknown: 1, follow.UpstreamRateLimited: 2, follow.UpstreamFailing: 3,
}

// healthSummary is the health of several runs: the worst state, the oldest success, and
// the sum of the counts.
type healthSummary struct {
	worst       follow.Health
	nonEmpty    bool
	behindBytes int64
	newest      float64
	interval    time.Duration
	counts      eventlog.Counts
}

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
	s.newest = max(s.newest, h.NewestTime)
	s.interval = max(s.interval, h.PollInterval)
	s.counts.Add(h.Counts)
	s.nonEmpty = true
}

// message returns the heartbeat.
func (s *healthSummary) message(ctx context.Context) *runicornapiv1.Heartbeat {
	out := &runicornapiv1.Heartbeat{
		LastSuccessTime:       convert.Time(s.worst.LastSuccess),
		UpstreamState:         upstreamStates[s.worst.State],
		MalformedLineCount:    int64(s.counts.MalformedLines),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(s.counts.LinesWithoutStep), //nolint:gosec // as above
		Limitations:           s.counts.Limitations(),
	}
	if s.worst.LastError != nil {
		_ = freshstack.Run(func() error { // never returns an error
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
