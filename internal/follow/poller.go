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
	// pollTimeout ends a poll of a Viewer that hangs, so that its slot in the limiter
	// becomes free. A Viewer needs half a minute for the largest tables.
	pollTimeout = 2 * time.Minute
	// headRecheckInterval is the interval at which the head of a growing log is compared.
	headRecheckInterval = 10 * time.Second
	// The status is read every statusInterval while the log is idle, and every
	// statusIntervalWhileGrowing while it grows, but never for more than a fraction of the
	// Viewer's time and of the polls.
	statusInterval             = 2 * time.Second
	statusIntervalWhileGrowing = 15 * time.Second
	statusCostFactor           = 20
	statusPollFactor           = 4
	// endedIdleDivisor: the log of an ended run is polled again after this fraction of the
	// time it has been idle.
	endedIdleDivisor = 10
	// settleDelay is how long a Viewer may show an intermediate state of a log, because it
	// moves folders and files are written while it answers. What looks inconsistent is read
	// again after this delay.
	settleDelay = time.Second / 2
	// partialDelay is how long the last line of a text log must be idle to be delivered
	// without its newline: a progress bar is written in pieces.
	partialDelay = time.Second
	// maxNotFound is the number of consecutive polls without the run after which it is
	// reported as deleted.
	maxNotFound = 2
)

// errUnsettled requests another poll after the settle delay, because the file may have been
// in an intermediate state.
var errUnsettled = errors.New("the log has not settled yet")

// poller fills one journal. It belongs to the journal's goroutine.
type poller struct {
	j          *journal
	cfg        *HubConfig
	file       fileState   // of a log read by ranges
	table      tableState  // of a merged table
	lineReader *lineReader // of a text log stream

	pollStart     time.Time     // start of the last poll
	startedAt     time.Time     // start of the poller
	lastGrowth    time.Time     // when growth of the log was last detected
	statusReadAt  time.Time     // when the status was last read
	statusSince   time.Time     // when the Viewer first sent the known status
	statusSeenAt  time.Time     // when it last sent that status
	lastSuccess   time.Time     // of the last successful poll, or the start of the poller
	failures      int           // failed polls since lastSuccess
	notFoundPolls int           // consecutive polls without the run
	minDelay      time.Duration // minimum delay to the next poll, even if a cursor requests one
	replaying     bool          // the last poll has read lines that were in the log before
	seen          bool
	spacing       time.Duration // between the starts of the last two polls
	growthGap     time.Duration // between the last two detections of growth
	statusCost    time.Duration // of the last read of the status
}

// run polls the run until the journal has no cursors, the run is gone, or the Viewer has
// been unreachable for too long.
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

// poll polls the run once and returns the delay to the next poll.
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

// pollOnce reads what is new in the log, and the status if that is due.
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

// recordGrowth records the result of a poll.
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

// updatePartial sets the unterminated last line of a text log once it is idle.
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

// isActive reports whether the log is likely to have grown: it has not been idle for much
// longer than before its last growth.
func (p *poller) isActive() bool { return time.Since(p.lastGrowth) <= 2*p.growthGap }

// isStatusDue reports whether to read the status.
func (p *poller) isStatusDue() bool {
	age := time.Since(p.statusReadAt)
	switch {
	case p.statusReadAt.IsZero():
		return true
	case age < max(statusCostFactor*p.statusCost, min(statusPollFactor*p.spacing, statusIntervalWhileGrowing)):
		return false
	case p.j.ended: // if it is reopened, the log grows
		return age >= statusIntervalWhileGrowing
	case p.j.status.Terminal && !p.isStatusConfirmed():
		return age >= settleDelay
	case p.lastGrowth.After(p.statusReadAt) && time.Since(p.lastGrowth) < statusInterval:
		return age >= statusIntervalWhileGrowing
	}
	return age >= statusInterval
}

// readStatus reads the status.
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

// isStatusConfirmed reports whether the Viewer has sent the known status twice: while the
// SDK writes status.json, 0.5.3 reports any run as finished.
func (p *poller) isStatusConfirmed() bool { return p.statusSeenAt.Sub(p.statusSince) >= settleDelay }

// finishIfTerminal ends the run if its status was terminal before this poll, nothing has
// been appended since then, and the log has been idle for the grace period.
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

// nextInterval returns the delay after a successful poll. It does not grow while the log is
// idle, so that points after a pause are not late; only the log of an ended run is polled
// less and less often.
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

// onPollError handles a failed poll.
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

// onRunNotFound handles a poll that did not find the run.
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

// waitToSettle returns the delay after a poll that may have seen an intermediate state.
func (p *poller) waitToSettle() time.Duration {
	p.minDelay = max(p.minDelay, settleDelay)
	return p.minDelay
}
