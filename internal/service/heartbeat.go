package service

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
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

// beat says when the next heartbeat of a stream is due. What is sent only moves
// the time: the timer finds out when it fires, so that messages cost none.
type beat struct {
	every time.Duration
	due   time.Time
	timer *time.Timer
}

// start sets the first one. It must be stopped.
func (b *beat) start(first time.Duration) {
	b.due, b.timer = time.Now().Add(first), time.NewTimer(first)
}

func (b *beat) stop() {
	if b.timer != nil {
		b.timer.Stop()
	}
}

// sent notes that the stream was not silent.
func (b *beat) sent() { b.due = time.Now().Add(b.every) }

// isDue says, when the timer has fired, whether the stream was silent until now.
func (b *beat) isDue() bool {
	if wait := time.Until(b.due); wait > 0 {
		b.timer.Reset(wait)
		return false
	}
	b.timer.Reset(b.every)
	return true
}

// upstreamStates are the contract's words, and severity which of two is worse.
var upstreamStates = map[runlog.UpstreamState]runicornapiv1.UpstreamState{
	runlog.UpstreamUnknown:     runicornapiv1.UpstreamState_UPSTREAM_STATE_UNSPECIFIED,
	runlog.UpstreamOK:          runicornapiv1.UpstreamState_UPSTREAM_STATE_OK,
	runlog.UpstreamFailing:     runicornapiv1.UpstreamState_UPSTREAM_STATE_FAILING,
	runlog.UpstreamRateLimited: runicornapiv1.UpstreamState_UPSTREAM_STATE_RATE_LIMITED,
}

var severity = map[runlog.UpstreamState]int{
	runlog.UpstreamOK: 0, runlog.UpstreamUnknown: 1, runlog.UpstreamRateLimited: 2, runlog.UpstreamFailing: 3,
}

// pulse puts the health of several runs together: the state of the worst, the
// oldest success, and the sum of what is countable.
type pulse struct {
	worst    runlog.Health
	isTaken  bool
	behind   int64
	newest   float64
	interval time.Duration
	broken   uint64 // malformed lines
	unplaced uint64
}

// take adds one.
func (p *pulse) take(h *runlog.Health) {
	oldest := h.LastSuccess
	if p.isTaken && p.worst.LastSuccess.Before(oldest) {
		oldest = p.worst.LastSuccess
	}
	if !p.isTaken || severity[h.State] > severity[p.worst.State] {
		p.worst = *h
	}
	p.worst.LastSuccess = oldest
	if p.behind < 0 || h.BehindBytes < 0 {
		p.behind = -1
	} else {
		p.behind += h.BehindBytes
	}
	if h.HasNewest {
		p.newest = max(p.newest, h.NewestTime)
	}
	p.interval = max(p.interval, h.PollInterval)
	p.broken += h.MalformedLines
	p.unplaced += h.UnplacedPoints
	p.isTaken = true
}

// message is the heartbeat.
func (p *pulse) message(ctx context.Context) *runicornapiv1.Heartbeat {
	out := &runicornapiv1.Heartbeat{
		LastSuccessTime:       timeOf(p.worst.LastSuccess),
		UpstreamState:         upstreamStates[p.worst.State],
		MalformedLineCount:    int64(p.broken),   //nolint:gosec // fewer than the file has bytes
		LinesWithoutStepCount: int64(p.unplaced), //nolint:gosec // as above
	}
	if p.worst.LastError != nil {
		_ = apart(func() error { // which has no error to tell
			out.LastError = statusOf(ctx, p.worst.LastError).Proto()
			return nil
		})
	}
	if p.isTaken && p.behind >= 0 {
		out.BehindBytes = &p.behind
	}
	if p.interval > 0 {
		out.PollInterval = durationpb.New(p.interval)
	}
	if p.newest > 0 {
		out.NewestPointTime = unixTime(p.newest)
	}
	return out
}
