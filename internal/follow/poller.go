package follow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

const (
	// pollTimeout ends a poll of a Viewer that hangs, so that its slot in the
	// limiter is free again. A Viewer needs half a minute for the largest tables.
	pollTimeout = 2 * time.Minute
	// headRecheckInterval is how often the head of a growing log is compared.
	headRecheckInterval = 10 * time.Second
	// A status is asked for when the log is idle, every statusInterval, and of a
	// growing log every statusIntervalWhileGrowing; never at more than a part of its time
	// and of the polls.
	statusInterval             = 2 * time.Second
	statusIntervalWhileGrowing = 15 * time.Second
	statusCostFactor           = 20
	statusPollFactor           = 4
	// endedIdleDivisor is the part of the quiet time of a run that has ended after which
	// its log is polled again.
	endedIdleDivisor = 10
	// settleDelay is how long a Viewer may need from one state of a log to the next: it
	// moves folders, and a file is written to, while it answers. What is seen in
	// between is read again after it.
	settleDelay = time.Second / 2
	// partialDelay is how long the last line of a text log must be at rest to be
	// delivered without its newline: who draws a progress bar writes it in pieces.
	partialDelay = time.Second
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
	spacing       time.Duration // between the last two polls
	growthGap     time.Duration // between the times at which the log was last seen to have grown
	statusCost    time.Duration // of the last time
}

func newPoller(j *journal) *poller {
	return &poller{j: j, cfg: &j.hub.cfg}
}

// run polls the run until the journal has no cursor, the run is gone, or the
// Viewer has been unreachable for too long.
func (p *poller) run() {
	p.startedAt = time.Now()
	p.lastSuccess, p.pollStart, p.lastGrowth = p.startedAt, p.startedAt, p.startedAt
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
	err = p.j.limiter.do(p.j.ctx, "follow "+p.j.key.RunID, p.isActive(), func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		start := time.Now()
		p.spacing = start.Sub(p.pollStart)
		p.pollStart, p.replaying = start, false
		grown, err = p.read(ctx)
		p.recordGrowth(grown)
		if err != nil {
			return err
		}
		p.updatePartial()
		if err := p.finishIfTerminal(ctx); err != nil || !p.isStatusDue() {
			return err
		}
		return p.readStatus(ctx)
	})
	return grown, err
}

// recordGrowth notes what a poll has found.
func (p *poller) recordGrowth(grown bool) {
	if !grown {
		return
	}
	p.growthGap = max(time.Since(p.lastGrowth), p.growthGap/2) // logs are written in bursts
	p.lastGrowth = time.Now()
	if !p.replaying {
		p.j.markGrown()
	}
}

// updatePartial notes the last line of a text log that has no newline, once it is at rest.
func (p *poller) updatePartial() {
	if !p.j.key.textLog {
		return
	}
	var line *logbatch.LogLine
	if rest := p.file.rest; len(rest) > 0 && time.Since(p.lastGrowth) >= partialDelay {
		unfinished := p.file.batcher.UnfinishedLine(rest)
		line = &unfinished
	}
	p.j.setPartial(line)
}

// isActive says that the log is as likely to have grown as not: it has not been quiet for
// much longer than it was before it has grown last.
func (p *poller) isActive() bool { return time.Since(p.lastGrowth) <= 2*p.growthGap }

// isStatusDue says whether to ask for the status.
func (p *poller) isStatusDue() bool {
	age := time.Since(p.statusReadAt)
	switch {
	case p.statusReadAt.IsZero():
		return true
	case age < max(statusCostFactor*p.statusCost, min(statusPollFactor*p.spacing, statusIntervalWhileGrowing)):
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
	p.statusReadAt, p.statusSeenAt, p.statusCost = start, seenAt, time.Since(start)
	p.j.setStatus(status)
	return nil
}

// isStatusConfirmed says whether the Viewer has said twice what is known of the status:
// while the SDK writes status.json, 0.5.3 calls any run finished.
func (p *poller) isStatusConfirmed() bool { return p.statusSeenAt.Sub(p.statusSince) >= settleDelay }

// finishIfTerminal ends the run if its status was terminal before this poll, nothing has
// come since the Viewer said so, and the log has been idle for the grace period.
func (p *poller) finishIfTerminal(ctx context.Context) error {
	j := p.j
	j.mu.RLock()
	mayEnd := j.status.Terminal && j.atEnd && !j.ended
	j.mu.RUnlock()
	if !mayEnd || !p.isStatusConfirmed() || p.statusSeenAt.Before(p.lastGrowth) || !p.pollStart.After(p.statusSeenAt) || p.pollStart.Sub(p.lastGrowth) < p.cfg.EndGrace {
		return nil
	}
	if err := p.readLast(ctx); err != nil {
		return err
	}
	j.markEnded()
	return nil
}

// nextInterval is how long to wait after a poll that went well: the same however long
// the log is quiet, so that what comes after a pause is as live as all else. Only the log of
// a run that has ended is polled less and less.
func (p *poller) nextInterval(grown bool) time.Duration {
	interval := max(p.cfg.MinInterval, p.table.minInterval)
	p.j.mu.RLock()
	ended, behind := p.j.ended, grown && !p.j.atEnd
	p.j.mu.RUnlock()
	if ended {
		idle := min(time.Since(p.lastGrowth), time.Since(p.startedAt))
		interval = max(interval, min(idle/endedIdleDivisor, p.cfg.MaxInterval))
	}
	if behind {
		return 0
	}
	p.j.setInterval(max(interval, p.spacing))
	return interval
}

// onPollError decides what becomes of a poll that has failed.
func (p *poller) onPollError(err error) (wait time.Duration, done bool) {
	if errors.Is(err, errUnsettled) {
		return p.waitToSettle(), false
	}
	p.file.needsVerify, p.table.needsVerify = true, true
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
