package restclient

import (
	"cmp"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// minLossInterval is the minimum time between two log lines about a lost connection, so
// that a flapping Viewer does not flood the log.
const minLossInterval = 10 * time.Second

// connLog logs changes of the connection to a Viewer, not single requests.
type connLog struct {
	log *slog.Logger

	mu     sync.Mutex
	lost   bool
	since  time.Time // when it was lost
	logged bool      // the loss was logged
	lastAt time.Time // time of the last line about a loss

	refusedAt time.Time // time of the last line about refused connections
}

func newConnLog(log *slog.Logger, viewer string) *connLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &connLog{log: log.With(slog.String("viewer", viewer))}
}

// onAnswer is called when the Viewer has answered.
func (l *connLog) onAnswer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost && l.logged {
		l.log.Info("viewer reachable again", slog.Duration("after", time.Since(l.since)))
	}
	l.lost, l.logged = false, false
}

// onFailure is called when a call has failed after its retries. Failures that say nothing
// about reachability, such as most timeouts, change nothing. A health check is cheap for a
// Viewer, so a Viewer that does not answer one is down.
func (l *connLog) onFailure(e *Error) {
	switch {
	case e.Kind == KindUnreachable, e.Kind == KindTimeout && e.Capability == capHealth:
		l.onLoss(e)
	case e.Status != 0 && e.Kind != KindCutOff && e.Kind != KindOutcomeUnknown:
		l.onAnswer()
	}
}

func (l *connLog) onLoss(e *Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.lost {
		l.lost, l.since = true, now
	}
	if l.logged || now.Sub(l.lastAt) < minLossInterval {
		return
	}
	l.logged, l.lastAt = true, now
	log := l.log
	if e.Status != 0 {
		log = log.With(slog.Int("status", e.Status)) // status of a proxy
	}
	log.Warn("viewer unreachable", slog.String("error", causeText(e)))
}

// onBreakerOpen is called when the Viewer has refused so many connections that calls fail
// at once.
func (l *connLog) onBreakerOpen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.refusedAt) < minLossInterval {
		return
	}
	l.refusedAt = now
	l.log.Warn("viewer refuses connections, calls fail at once", slog.Duration("retry_interval", breakerCooldown))
}

// onShare is called when background work starts or stops using up its share of the Viewer.
func (l *connLog) onShare(usedUp bool) {
	if usedUp {
		l.log.Warn("share of the viewer is used up, lists and tails are late")
		return
	}
	l.log.Info("share of the viewer is no longer used up")
}

// onRelease is called with the Viewer's capabilities; was is nil the first time.
func (l *connLog) onRelease(was, now *Capabilities) {
	switch {
	case was == nil:
		l.log.Info("viewer release known", slog.String("version", now.Version), slog.String("generation", now.Generation))
	case was.Version != now.Version || was.Generation != now.Generation:
		l.log.Info("viewer release changed",
			slog.String("version", now.Version), slog.String("generation", now.Generation), slog.String("previous_version", was.Version))
	}
}

// onLogStreamEnd is called when an open log WebSocket has ended. An end that the caller
// wanted is not logged.
func (l *connLog) onLogStreamEnd(runID string, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind == KindCanceled || e.Kind == KindNotFound || e.Kind == KindUnsupported {
		return
	}
	l.log.Warn("log stream lost", slog.String("run_id", runID), slog.String("error", causeText(e)))
}

// causeText returns why a call failed, without anything that was sent.
func causeText(e *Error) string {
	if cause := safeCause(e.Err); cause != nil && !errors.Is(cause, errHiddenCause) {
		return scrub.Text(cause.Error(), nil)
	}
	return cmp.Or(e.Detail, e.Kind.String())
}
