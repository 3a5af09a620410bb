package restclient

import (
	"cmp"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/scrub"
)

// minLossInterval is the minimum time between two lines about a lost connection,
// so that a Viewer that fails now and then does not fill the log.
const minLossInterval = 10 * time.Second

// connLog logs what changes between this client and its Viewer: one line for a
// change, none for a request.
type connLog struct {
	log *slog.Logger

	mu     sync.Mutex
	lost   bool
	since  time.Time // when it was lost
	logged bool      // the log says that it is lost
	lastAt time.Time // of the last line about a loss

	refusedAt time.Time // of the last line about refused connections
}

func newConnLog(log *slog.Logger, viewer string) *connLog {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &connLog{log: log.With(slog.String("viewer", viewer))}
}

// onAnswer learns that the Viewer has answered.
func (l *connLog) onAnswer() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lost && l.logged {
		l.log.Info("viewer reachable again", slog.Duration("after", time.Since(l.since)))
	}
	l.lost, l.logged = false, false
}

// onFailure learns that a call has failed, after its retries. Failures that are
// neither an answer nor a lack of one, such as most timeouts, change nothing. A health
// check costs a Viewer nothing, so one that does not answer it does nothing at all.
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
		log = log.With(slog.Int("status", e.Status)) // of a proxy
	}
	log.Warn("viewer unreachable", slog.String("error", causeText(e)))
}

// onBreakerOpen learns that the Viewer has refused so many connections that calls fail
// at once.
func (l *connLog) onBreakerOpen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Sub(l.refusedAt) < minLossInterval {
		return
	}
	l.refusedAt = now
	l.log.Warn("viewer refuses connections, calls fail at once", slog.Duration("asked_every", breakerCooldown))
}

// onShare learns whether background work takes all of its share of the Viewer.
func (l *connLog) onShare(usedUp bool) {
	if usedUp {
		l.log.Warn("share of the viewer is used up, lists and tails are late")
		return
	}
	l.log.Info("share of the viewer suffices again")
}

// onRelease learns what the Viewer describes itself as; was is nil the first time.
func (l *connLog) onRelease(was, now *Capabilities) {
	switch {
	case was == nil:
		l.log.Info("viewer release known", slog.String("version", now.Version), slog.String("generation", now.Generation))
	case was.Version != now.Version || was.Generation != now.Generation:
		l.log.Info("viewer release changed",
			slog.String("version", now.Version), slog.String("generation", now.Generation), slog.String("previous_version", was.Version))
	}
}

// onLogStreamEnd learns how an open log WebSocket ended. What the caller wanted is
// no change.
func (l *connLog) onLogStreamEnd(runID string, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind == KindCanceled || e.Kind == KindNotFound || e.Kind == KindUnsupported {
		return
	}
	l.log.Warn("log stream lost", slog.String("run_id", runID), slog.String("error", causeText(e)))
}

// causeText tells why a call failed, without anything that was sent.
func causeText(e *Error) string {
	if cause := safeCause(e.Err); cause != nil && !errors.Is(cause, errHiddenCause) {
		return scrub.Text(cause.Error(), nil)
	}
	return cmp.Or(e.Detail, e.Kind.String())
}
