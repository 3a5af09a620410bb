package runlog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// pollTimeout ends a look at a Viewer that hangs, so that its place in the
	// lane is free again. A Viewer needs half a minute for the largest tables.
	pollTimeout = 2 * time.Minute
	// headAge is how often the head of a growing log is compared. It is a second
	// request, for which a look is left out, so that there is no more than one
	// for each interval.
	headAge = 10 * time.Second
	// A status is asked for when the log is at rest, every statusAge, and of a
	// growing log every statusLate; never at more than a part of its time.
	statusAge   = 2 * time.Second
	statusLate  = 15 * time.Second
	statusCosts = 20
	// quietPart is the part of a log's quiet time after which it is looked at
	// again: what comes after a pause is late by a tenth of that at most.
	quietPart = 10
	// moment is how long a Viewer may need from one state of a log to the next: it
	// moves folders, and a file is written to, while it answers. What is seen in
	// between is looked at again after it.
	moment = time.Second / 2
	// patience is how often a run must not be there to be gone.
	patience = 2
)

// errLater asks for another look in a moment: what was seen may have been
// between two states of the file.
var errLater = errors.New("the log is to be looked at again")

// poller fills one journal. It belongs to the journal's goroutine.
type poller struct {
	j     *journal
	cfg   *HubConfig
	file  file  // of a log that is read by ranges
	table table // of one that is a merged table
	pump  *pump // of a text log that is a stream

	asked    time.Time     // when the last look began
	beganAt  time.Time     // when the poller began
	grewAt   time.Time     // when the log was last seen to have grown
	statusAt time.Time     // when the status was asked for last
	firstAt  time.Time     // when the Viewer first said the status that is known
	saidAt   time.Time     // when it said that last
	lastGood time.Time     // when a look last succeeded, or the poller began
	failures int           // looks that have failed since
	gone     int           // of which so many said that there is no such run
	least    time.Duration // between the last look and the next, even if a cursor has cause to ask
	isReplay bool          // what the last look has read was in the log before
	wasThere bool
	// extra is how many requests the last look made beyond the one it may.
	extra int
}

func newPoller(j *journal) *poller {
	return &poller{j: j, cfg: &j.hub.cfg}
}

// run looks at the run until the journal has no cursor, the run is gone, or the
// Viewer has been unreachable for too long.
func (p *poller) run() {
	p.beganAt = time.Now()
	p.lastGood = p.beganAt
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-p.j.ctx.Done():
			return
		case isSuspect := <-p.j.kick:
			p.file.isSuspect = p.file.isSuspect || isSuspect
			p.table.isSuspect = p.table.isSuspect || isSuspect
			if wait := p.least - time.Since(p.asked); wait > 0 {
				timer.Reset(wait)
				continue
			}
		case <-timer.C:
		}
		wait, isOver := p.look()
		if isOver || p.j.ctx.Err() != nil {
			return
		}
		timer.Reset(wait)
	}
}

// look looks at the run once and says when to do so again.
func (p *poller) look() (wait time.Duration, isOver bool) {
	p.least = p.cfg.MinInterval
	hasGrown, err := p.ask()
	switch {
	case p.j.ctx.Err() != nil:
		return 0, true
	case errors.Is(err, ErrGone):
		return p.miss()
	case err != nil:
		return p.suffer(err)
	}
	p.lastGood, p.failures, p.gone, p.wasThere = time.Now(), 0, 0, true
	p.j.succeed(p.asked)
	p.j.hub.enforce()
	return p.rest(hasGrown), false
}

// ask reads what is new of the log, and of the status if that is due.
func (p *poller) ask() (hasGrown bool, err error) {
	err = p.do("follow", func(ctx context.Context) (err error) {
		p.asked, p.extra, p.isReplay = time.Now(), 0, false
		hasGrown, err = p.read(ctx)
		return err
	})
	if hasGrown {
		p.grewAt = time.Now()
		if !p.isReplay {
			p.j.grow()
		}
	}
	if err != nil {
		return hasGrown, err
	}
	if err := p.conclude(); err != nil || !p.isStatusDue() {
		return hasGrown, err
	}
	return hasGrown, p.do("status", p.readStatus)
}

// do runs one piece of work when the Viewer's share allows it.
func (p *poller) do(kind string, work func(context.Context) error) error {
	key := kind + " " + p.j.key.RunID
	return p.j.lane.do(p.j.ctx, key, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, pollTimeout)
		defer cancel()
		return work(ctx)
	})
}

// cost is what a kind of work cost the Viewer last.
func (p *poller) cost(kind string) time.Duration {
	if p.j.lane.pacer == nil {
		return 0
	}
	return p.j.lane.pacer.Cost(kind + " " + p.j.key.RunID)
}

// isStatusDue says whether to ask for the status.
func (p *poller) isStatusDue() bool {
	age := time.Since(p.statusAt)
	switch {
	case p.statusAt.IsZero():
		return true
	case age < statusCosts*p.cost("status"):
		return false
	case p.j.hasEnded: // if it is opened again, the log tells
		return age >= statusLate
	case p.j.status.HasEnded && !p.isConfirmed():
		return age >= moment
	case p.grewAt.After(p.statusAt) && time.Since(p.grewAt) < statusAge:
		return age >= statusLate
	}
	return age >= statusAge
}

// readStatus asks for the status.
func (p *poller) readStatus(ctx context.Context) error {
	asked := time.Now()
	status, said, err := p.j.feed.status(ctx)
	if err != nil {
		return fmt.Errorf("read the status: %w", err)
	}
	if status != p.j.status {
		p.firstAt = said
	}
	p.statusAt, p.saidAt = asked, said
	p.j.say(status)
	return nil
}

// isConfirmed says whether the Viewer has said twice what is known of the status:
// while the SDK writes status.json, 0.5.3 calls any run finished.
func (p *poller) isConfirmed() bool { return p.saidAt.Sub(p.firstAt) >= moment }

// conclude ends the run if its status was terminal before this look, nothing has
// come since the Viewer said so, and the log has been at rest for the grace.
func (p *poller) conclude() error {
	j := p.j
	j.mu.RLock()
	isAtRest := j.status.HasEnded && j.isAtEnd && !j.hasEnded
	j.mu.RUnlock()
	if !isAtRest || !p.isConfirmed() || p.saidAt.Before(p.grewAt) || !p.asked.After(p.saidAt) || p.asked.Sub(p.grewAt) < p.cfg.EndGrace {
		return nil
	}
	if err := p.do("follow", p.readLast); err != nil {
		return err
	}
	j.settle()
	return nil
}

// rest is how long to wait after a look that went well: short while the log
// grows, longer the longer it is at rest, and no longer than the grace has still
// to run.
func (p *poller) rest(hasGrown bool) time.Duration {
	quiet := min(time.Since(p.grewAt), time.Since(p.beganAt))
	interval := min(max(quiet/quietPart, p.cfg.MinInterval), p.cfg.MaxInterval)
	interval = max(interval, p.table.interval())
	p.j.mu.RLock()
	isEnding := p.j.status.HasEnded && !p.j.hasEnded && !p.grewAt.After(p.saidAt)
	isBehind := hasGrown && !p.j.isAtEnd
	p.j.mu.RUnlock()
	wait := interval
	switch {
	case isBehind:
		wait = 0
	case isEnding:
		wait = min(wait, max(p.cfg.EndGrace-time.Since(p.grewAt), p.cfg.MinInterval))
	}
	wait += time.Duration(p.extra) * wait
	p.j.pace(max(wait, interval))
	return wait
}

// suffer decides what becomes of a look that has failed.
func (p *poller) suffer(err error) (wait time.Duration, isOver bool) {
	if errors.Is(err, errLater) {
		return p.hesitate(), false
	}
	p.file.isSuspect, p.table.isSuspect = true, true
	if isTooLong(err) {
		p.j.finish(0, err)
		return 0, true
	}
	state, retryAfter := p.cfg.Judge(err)
	p.j.fail(state, err)
	if p.cfg.Unreachable > 0 && time.Since(p.lastGood) >= p.cfg.Unreachable {
		p.j.finish(0, fmt.Errorf("%w: %w", ErrUnreachable, err))
		return 0, true
	}
	const steep = 6
	p.failures++
	wait = min(p.cfg.MinInterval<<min(p.failures-1, steep), p.cfg.MaxInterval)
	wait = max(wait, retryAfter)
	p.j.pace(wait)
	return wait, false
}

// miss decides what becomes of a run that is not there.
func (p *poller) miss() (wait time.Duration, isOver bool) {
	p.file.isSuspect, p.table.isSuspect = true, true
	p.gone++
	switch {
	case !p.wasThere:
		p.j.finish(EndNotFound, nil)
		return 0, true
	case p.gone >= patience:
		p.j.finish(EndDeleted, nil)
		return 0, true
	}
	return p.hesitate(), false
}

// hesitate is how long to wait after a look that may have come between two states.
func (p *poller) hesitate() time.Duration {
	p.least = max(p.least, moment)
	return p.least
}
