package service

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// firstPatience is how long a tail waits for its first news before it says that
// it lives: most Viewers answer within it, and then the news comes first.
const firstPatience = 250 * time.Millisecond

// tailStream is where the messages of a tail go.
type tailStream = grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]

// tail is one call of TailMetrics. Its runs are merged into one stream; all of
// it but the pumps belongs to the goroutine of the call.
type tail struct {
	*Deps
	req    *runicornapiv1.TailMetricsRequest
	stream tailStream
	picked batchSelection
	until  runlog.Until
	beat   beat
	// key is that of shared messages, for the marks that the run has.
	key      string
	keyMarks runMarks

	runs   []*tailedRun
	filter *tailFilter // nil for a tail by ids
	// missing are the runs that do not exist, and of which that was not told yet:
	// if there is no other, the call fails instead.
	missing []*tailedRun

	items chan tailItem // of the pumps, where there are several runs
	pumps sync.WaitGroup
}

// tailItem is what the cursor of a run has delivered.
type tailItem struct {
	run    *tailedRun
	cursor *runlog.Cursor
	item   *runlog.Item
	err    error
}

// TailMetrics sends the points of runs as they are logged.
func (s *metricService) TailMetrics(req *runicornapiv1.TailMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	ctx, stop := s.draining.watch(stream.Context())
	defer stop()
	t := newTail(&s.Deps, req, stream)
	defer t.close(stop)
	if err := t.begin(ctx); err != nil {
		return err
	}
	ctx, forget := endingWith(ctx, t.needed()...)
	defer forget()
	return t.run(ctx)
}

func newTail(d *Deps, req *runicornapiv1.TailMetricsRequest, stream tailStream) *tail {
	return &tail{
		Deps: d, req: req, stream: stream, picked: newBatchSelection(req),
		beat: beat{every: heartbeatInterval(req.GetHeartbeatInterval())},
	}
}

// close ends what the tail has begun. The pumps end with the context.
func (t *tail) close(stop func()) {
	stop()
	t.beat.stop()
	t.pumps.Wait()
	for _, r := range t.runs {
		r.close()
	}
	if t.filter != nil {
		t.filter.close()
	}
}

// run sends what comes until every run has ended.
func (t *tail) run(ctx context.Context) error {
	t.beat.start(t.firstWait())
	for {
		if err := t.fill(ctx); err != nil {
			return err
		}
		if t.isOver() {
			return t.conclude()
		}
		if err := t.step(ctx); err != nil {
			return streamVerdict(ctx, err)
		}
	}
}

// firstWait is how long the first message may take. A browser that reconnects
// behind the end is told by a stream of nothing but ends that all is over.
func (t *tail) firstWait() time.Duration {
	for _, r := range t.runs {
		if !r.isEnded() {
			return firstPatience
		}
	}
	if len(t.runs) == 0 {
		return firstPatience
	}
	return t.beat.every
}

// step waits for one thing and does it. A tail of one run, as most are, reads its
// cursor itself, without a goroutine for it.
func (t *tail) step(ctx context.Context) error {
	if t.isSingle() {
		r := t.runs[0]
		item, err := r.cursor.NextBefore(ctx, t.beat.timer.C)
		if item == nil && err == nil {
			return t.pulse(ctx)
		}
		return t.receive(ctx, tailItem{run: r, cursor: r.cursor, item: item, err: err})
	}
	return t.stepOfMany(ctx)
}

// stepOfMany is step of a tail of several runs, or by filter.
func (t *tail) stepOfMany(ctx context.Context) error {
	select {
	case next := <-t.items:
		return t.receive(ctx, next)
	case <-t.filter.looked():
		t.filter.choose(t)
		return nil
	case <-t.filter.others():
		return t.refresh(ctx)
	case <-t.beat.timer.C:
		return t.pulse(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isSingle says whether the tail is of one run for good.
func (t *tail) isSingle() bool { return t.filter == nil && len(t.runs) == 1 }

// receive takes what a cursor has delivered.
func (t *tail) receive(ctx context.Context, next tailItem) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case next.cursor != next.run.cursor: // the session of its Viewer has ended meanwhile
		return nil
	case next.err != nil:
		return next.run.failed(next.err)
	case isGone(next.item):
		if err := t.confirmGone(ctx, next.run.target); err != nil {
			return t.lose(ctx, next.run, err)
		}
	}
	return t.take(next.run, next.item)
}

// pulse sends a heartbeat if the stream was silent.
func (t *tail) pulse(ctx context.Context) error {
	if !t.beat.isDue() {
		return nil
	}
	return t.heartbeat(ctx)
}

// fill starts the pump of each run that needs one.
func (t *tail) fill(ctx context.Context) error {
	if t.isSingle() {
		return t.runs[0].open(t)
	}
	if t.items == nil {
		t.items = make(chan tailItem)
	}
	for _, r := range t.runs {
		if r.cursor != nil || r.isDone || r.isAway {
			continue
		}
		if err := r.open(t); err != nil {
			return err
		}
		own, stop := context.WithCancel(ctx)
		cursor, pumped := r.cursor, make(chan struct{})
		r.stopPump = func() { stop(); <-pumped }
		t.pumps.Go(func() {
			defer close(pumped)
			r.pump(own, cursor, t.items)
		})
	}
	return nil
}

// isOver says that nothing more can come.
func (t *tail) isOver() bool {
	if t.filter != nil && !t.filter.isOver(t) {
		return false
	}
	for _, r := range t.runs {
		if !r.isDone {
			return false
		}
	}
	return true
}

// conclude is the end of a tail all of whose runs have ended.
func (t *tail) conclude() error {
	isThere := func(r *tailedRun) bool { return !r.isLost }
	if t.filter == nil && !slices.ContainsFunc(t.runs, isThere) {
		return runSource{t.runs[0].target}.gone()
	}
	return t.tellMissing()
}

// heartbeat says how fresh the tail is.
func (t *tail) heartbeat(ctx context.Context) error {
	if err := errors.Join(t.tellMissing(), t.refresh(ctx)); err != nil { // nobody else may ask for tunnelled Viewers
		return err
	}
	return t.send(nil, t.health(ctx))
}

// health is what a heartbeat says. It is put together before it is sent, so that
// the stack does not hold both at once; see apart.
func (t *tail) health(ctx context.Context) *runicornapiv1.TailMetricsResponse {
	var p pulse
	followed := int32(0)
	for _, r := range t.runs {
		switch {
		case r.isDone:
		case r.isAway:
			p.take(&runlog.Health{State: runlog.UpstreamFailing, LastError: &fleet.EndedError{Name: r.Name}, BehindBytes: -1})
			followed++
		case r.cursor != nil:
			h := r.cursor.Health()
			p.take(&h)
			followed++
		}
	}
	notFollowed := int32(0)
	if t.filter != nil {
		t.filter.pulse(&p, followed == 0)
		notFollowed = t.filter.notFollowed
	}
	h := p.message(ctx)
	h.FollowedRunCount, h.NotFollowedRunCount = followed, notFollowed
	return &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_Heartbeat{Heartbeat: h}}
}

// send sends a message about a run, or about the stream where that is nil.
func (t *tail) send(r *tailedRun, m *runicornapiv1.TailMetricsResponse) error {
	if r != nil {
		if err := t.tellMissing(); err != nil {
			return err
		}
		m.Viewer, m.RunId = r.Name, validText(r.runID)
	}
	m.ResumeToken = t.token().String()
	t.beat.sent()
	return sendApart(t.stream, m)
}

// sendEncoded sends a message that is shared with other streams.
func (t *tail) sendEncoded(e *Encoded) error {
	if err := t.tellMissing(); err != nil {
		return err
	}
	t.beat.sent()
	return t.stream.SendMsg(e)
}

// tellMissing tells of the runs that do not exist.
func (t *tail) tellMissing() error {
	missing := t.missing
	t.missing = nil
	for _, r := range missing {
		if err := t.send(r, endMessage(runicornapiv1.EndReason_END_REASON_NOT_FOUND, "")); err != nil {
			return err
		}
	}
	return nil
}

// token is the token behind everything that was sent.
func (t *tail) token() *tailToken {
	token := &tailToken{runs: make([]tailRun, 0, len(t.runs))}
	for _, r := range t.runs {
		token.runs = append(token.runs, tailRun{viewer: r.Name, runID: r.runID, marks: r.marks, at: r.at})
	}
	if t.filter != nil {
		t.filter.describe(token)
	}
	return token
}
