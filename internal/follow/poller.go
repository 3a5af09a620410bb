package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// pollTimeout ends a poll of a Viewer that hangs, so that its slot in the
	// limiter is free again. A Viewer needs half a minute for the largest tables.
	pollTimeout = 2 * time.Minute
	// headRecheckInterval is how often the head of a growing log is compared. It is a second
	// request, for which a poll is left out, so that there is no more than one
	// for each interval.
	headRecheckInterval = 10 * time.Second
	// A status is asked for when the log is idle, every statusInterval, and of a
	// growing log every statusIntervalWhileGrowing; never at more than a part of its time.
	statusInterval             = 2 * time.Second
	statusIntervalWhileGrowing = 15 * time.Second
	statusCostFactor           = 20
	// idleDivisor is the part of a log's quiet time after which it is polled
	// again: what comes after a pause is late by a tenth of that at most.
	idleDivisor = 10
	// settleDelay is how long a Viewer may need from one state of a log to the next: it
	// moves folders, and a file is written to, while it answers. What is seen in
	// between is read again after it.
	settleDelay = time.Second / 2
	// maxNotFound is the number of consecutive polls without the run after which it
	// is reported as deleted.
	maxNotFound = 2
)

// errUnsettled asks for another poll after the settle delay: what was seen may have been
// between two states of the file.
var errUnsettled = errors.New("the log has not settled yet")

// poller fills one journal. It belongs to the journal's goroutine.
type poller struct {
	j          *journal
	cfg        *HubConfig
	file       fileState   // of a log that is read by ranges
	table      tableState  // of one that is a merged table
	lineReader *lineReader // of a text log that is a stream

	pollStart     time.Time     // when the last poll began
	startedAt     time.Time     // when the poller began
	lastGrowth    time.Time     // when the log was last seen to have grown
	statusReadAt  time.Time     // when the status was asked for last
	statusSince   time.Time     // when the Viewer first said the status that is known
	statusSeenAt  time.Time     // when it said that last
	lastSuccess   time.Time     // when a poll last succeeded, or the poller began
	failures      int           // polls that have failed since
	notFoundPolls int           // of which so many found no such run
	minDelay      time.Duration // between the last poll and the next, even if a cursor has cause to ask
	replaying     bool          // what the last poll has read was in the log before
	seen          bool
	// extraRequests is how many requests the last poll made beyond the one it may.
	extraRequests int
}

func newPoller(j *journal) *poller {
	return &poller{j: j, cfg: &j.hub.cfg}
}

// run polls the run until the journal has no cursor, the run is gone, or the
// Viewer has been unreachable for too long.
func (p *poller) run() {
	p.startedAt = time.Now()
	p.lastSuccess = p.startedAt
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.j.ctx.Done():
			return
		case needsVerify := <-p.j.wake:
			p.file.needsVerify = p.file.needsVerify || needsVerify
			p.table.needsVerify = p.table.needsVerify || needsVerify
			if wait := p.minDelay - time.Since(p.pollStart); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		wait, done := p.poll()
		if done || p.j.ctx.Err() != nil {
			return
		}
		timer.Reset(wait)
	}
}

// poll polls the run once and says when to do so again.
func (p *poller) poll() (wait time.Duration, done bool) {
	p.minDelay = p.cfg.MinInterval
	grown, err := p.pollOnce()
	switch {
	case p.j.ctx.Err() != nil:
		return 0, true
	case errors.Is(err, runsource.ErrRunNotFound):
		return p.onRunNotFound()
	case err != nil:
		return p.onPollError(err)
	}
	p.lastSuccess, p.failures, p.notFoundPolls, p.seen = time.Now(), 0, 0, true
	p.j.recordSuccess(p.pollStart)
	p.j.hub.evict()
	return p.nextInterval(grown), false
}

// pollOnce reads what is new of the log, and of the status if that is due.
func (p *poller) pollOnce() (grown bool, err error) {
	err = p.do("follow", func(ctx context.Context) (err error) {
		p.pollStart, p.extraRequests, p.replaying = time.Now(), 0, false
		grown, err = p.read(ctx)
		return err
	})
	if grown {
		p.lastGrowth = time.Now()
		if !p.replaying {
			p.j.markGrown()
		}
	}
	if err != nil {
		return grown, err
	}
	if err := p.finishIfTerminal(); err != nil || !p.isStatusDue() {
		return grown, err
	}
	return grown, p.do("status", p.readStatus)
}

// do runs one piece of work when the Viewer's share allows it.
func (p *poller) do(kind string, work func(context.Context) error) error {
	key := kind + " " + p.j.key.RunID
	return p.j.limiter.do(p.j.ctx, key, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		return work(ctx)
	})
}

// cost is what a kind of work cost the Viewer last.
func (p *poller) cost(kind string) time.Duration {
	if p.j.limiter.throttle == nil {
		return 0
	}
	return p.j.limiter.throttle.Cost(kind + " " + p.j.key.RunID)
}

// isStatusDue says whether to ask for the status.
func (p *poller) isStatusDue() bool {
	age := time.Since(p.statusReadAt)
	switch {
	case p.statusReadAt.IsZero():
		return true
	case age < statusCostFactor*p.cost("status"):
		return false
	case p.j.ended: // if it is opened again, the log tells
		return age >= statusIntervalWhileGrowing
	case p.j.status.Terminal && !p.isStatusConfirmed():
		return age >= settleDelay
	case p.lastGrowth.After(p.statusReadAt) && time.Since(p.lastGrowth) < statusInterval:
		return age >= statusIntervalWhileGrowing
	}
	return age >= statusInterval
}

// readStatus asks for the status.
func (p *poller) readStatus(ctx context.Context) error {
	start := time.Now()
	status, seenAt, err := p.j.source.status(ctx)
	if err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	if seenAt.IsZero() {
		seenAt = start
	}
	if status != p.j.status {
		p.statusSince = seenAt
	}
	p.statusReadAt, p.statusSeenAt = start, seenAt
	p.j.setStatus(status)
	return nil
}

// isStatusConfirmed says whether the Viewer has said twice what is known of the status:
// while the SDK writes status.json, 0.5.3 calls any run finished.
func (p *poller) isStatusConfirmed() bool { return p.statusSeenAt.Sub(p.statusSince) >= settleDelay }

// finishIfTerminal ends the run if its status was terminal before this poll, nothing has
// come since the Viewer said so, and the log has been idle for the grace period.
func (p *poller) finishIfTerminal() error {
	j := p.j
	j.mu.RLock()
	mayEnd := j.status.Terminal && j.atEnd && !j.ended
	j.mu.RUnlock()
	if !mayEnd || !p.isStatusConfirmed() || p.statusSeenAt.Before(p.lastGrowth) || !p.pollStart.After(p.statusSeenAt) || p.pollStart.Sub(p.lastGrowth) < p.cfg.EndGrace {
		return nil
	}
	if err := p.do("follow", p.readLast); err != nil {
		return err
	}
	j.markEnded()
	return nil
}

// nextInterval is how long to wait after a poll that went well: short while the log
// grows, longer the longer it is idle, and no longer than the grace has still
// to run.
func (p *poller) nextInterval(grown bool) time.Duration {
	idle := min(time.Since(p.lastGrowth), time.Since(p.startedAt))
	interval := min(max(idle/idleDivisor, p.cfg.MinInterval), p.cfg.MaxInterval)
	interval = max(interval, p.table.interval())
	p.j.mu.RLock()
	ending := p.j.status.Terminal && !p.j.ended && !p.lastGrowth.After(p.statusSeenAt)
	behind := grown && !p.j.atEnd
	p.j.mu.RUnlock()
	wait := interval
	switch {
	case behind:
		wait = 0
	case ending:
		wait = min(wait, max(p.cfg.EndGrace-time.Since(p.lastGrowth), p.cfg.MinInterval))
	}
	wait += time.Duration(p.extraRequests) * wait
	p.j.setInterval(max(wait, interval))
	return wait
}

// onPollError decides what becomes of a poll that has failed.
func (p *poller) onPollError(err error) (wait time.Duration, done bool) {
	if errors.Is(err, errUnsettled) {
		return p.waitToSettle(), false
	}
	p.file.needsVerify, p.table.needsVerify = true, true
	if runsource.IsLineTooLong(err) {
		p.j.finish(0, err)
		return 0, true
	}
	state, retryAfter := p.cfg.ClassifyError(err)
	p.j.recordFailure(state, err)
	if p.cfg.UnreachableAfter > 0 && time.Since(p.lastSuccess) >= p.cfg.UnreachableAfter {
		p.j.finish(0, fmt.Errorf("%w: %w", ErrUnreachable, err))
		return 0, true
	}
	const maxShift = 6
	p.failures++
	wait = min(p.cfg.MinInterval<<min(p.failures-1, maxShift), p.cfg.MaxInterval)
	wait = max(wait, retryAfter)
	p.j.setInterval(wait)
	return wait, false
}

// onRunNotFound decides what becomes of a run that is not there.
func (p *poller) onRunNotFound() (wait time.Duration, done bool) {
	p.file.needsVerify, p.table.needsVerify = true, true
	p.notFoundPolls++
	switch {
	case !p.seen:
		p.j.finish(EndNotFound, nil)
		return 0, true
	case p.notFoundPolls >= maxNotFound:
		p.j.finish(EndDeleted, nil)
		return 0, true
	}
	return p.waitToSettle(), false
}

// waitToSettle is how long to wait after a poll that may have come between two states.
func (p *poller) waitToSettle() time.Duration {
	p.minDelay = max(p.minDelay, settleDelay)
	return p.minDelay
}
