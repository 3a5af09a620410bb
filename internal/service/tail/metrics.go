package tail

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
)

// firstMessageTimeout is how long a tail waits for its first message before it sends a
// heartbeat. Most Viewers answer within it, and then data comes first.
const firstMessageTimeout = 250 * time.Millisecond

// tailStream is the stream to the client of a tail.
type tailStream = grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]

// tail is one call of TailMetrics. It merges its runs into one stream. Everything except
// the forwarders belongs to the goroutine of the call.
type tail struct {
	service   *Service
	req       *runicornapiv1.TailMetricsRequest
	stream    tailStream
	selection batchSelection
	until     follow.Until
	heartbeat heartbeatTimer
	// key identifies the shared messages for the marks that the run has.
	key      string
	keyMarks runMarks

	runs   []*tailedRun
	filter *tailFilter // nil for a tail by ids
	// leftOut counts the unusable lines of the runs that have ended. reportedExcess is how
	// much was too large when the last heartbeat was sent.
	leftOut        eventlog.Counts
	reportedExcess eventlog.Excess
	// notFound are the runs that do not exist and were not reported yet. If the tail has
	// no other runs, the call fails instead.
	notFound []*tailedRun

	items      chan tailItem // from the forwarders, if there are several runs
	forwarders sync.WaitGroup
}

// TailMetrics sends the points of runs as they are logged.
func (s *Service) TailMetrics(req *runicornapiv1.TailMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailMetricsResponse]) error {
	ctx, stop := s.config.Drain.WithDrain(stream.Context())
	defer stop()
	t := newTail(s, req, stream)
	defer t.close(stop)
	if err := t.start(ctx); err != nil {
		return err
	}
	ctx, stopSession := withSessionCancel(ctx, t.requiredViewers()...)
	defer stopSession()
	return t.run(ctx)
}

func newTail(s *Service, req *runicornapiv1.TailMetricsRequest, stream tailStream) *tail {
	return &tail{
		service: s, req: req, stream: stream, selection: newBatchSelection(req),
		heartbeat: heartbeatTimer{interval: heartbeatInterval(req.GetHeartbeatInterval())},
	}
}

// close releases what the tail has started. The forwarders end with the context.
func (t *tail) close(stop func()) {
	stop()
	t.heartbeat.stop()
	t.forwarders.Wait()
	for _, r := range t.runs {
		r.close()
	}
	if t.filter != nil {
		t.filter.close()
	}
}

// run sends messages until every run has ended.
func (t *tail) run(ctx context.Context) error {
	t.heartbeat.start(t.firstHeartbeat())
	for {
		if err := t.startForwarding(ctx); err != nil {
			return err
		}
		if t.isFinished() {
			return t.finish(ctx)
		}
		if err := t.step(ctx); err != nil {
			return streamError(ctx, err)
		}
	}
}

// firstHeartbeat returns how long the first message may take. A browser that reconnects
// after the end of its runs gets a stream with only ends, so that it stops reconnecting;
// a tail by filter does not send runs that have ended.
func (t *tail) firstHeartbeat() time.Duration {
	goesOn := func(r *tailedRun) bool { return r.state.marks()&markEnded == 0 }
	if t.filter == nil && !slices.ContainsFunc(t.runs, goesOn) {
		return t.heartbeat.interval
	}
	return firstMessageTimeout
}

// step waits for one event and handles it. A tail of one run, the most frequent case,
// reads its cursor directly instead of using a forwarder.
func (t *tail) step(ctx context.Context) error {
	if t.isSingle() {
		r := t.runs[0]
		item, err := r.cursor.NextBefore(ctx, t.heartbeat.timer.C)
		if item == nil && err == nil {
			return t.sendHeartbeatIfDue(ctx)
		}
		return t.handleNext(ctx, tailItem{run: r, cursor: r.cursor, item: item, err: err})
	}
	return t.stepMany(ctx)
}

// stepMany is step for a tail of several runs or by filter.
func (t *tail) stepMany(ctx context.Context) error {
	select {
	case next := <-t.items:
		return t.handleNext(ctx, next)
	case <-t.filter.listChanged():
		return t.followNewRuns(ctx)
	case <-t.filter.viewersChanged():
		return t.syncViewers(ctx)
	case <-t.heartbeat.timer.C:
		return t.sendHeartbeatIfDue(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isSingle reports whether the tail has one run and will not get another.
func (t *tail) isSingle() bool { return t.filter == nil && len(t.runs) == 1 }

// handleNext handles the next item of a cursor.
func (t *tail) handleNext(ctx context.Context, next tailItem) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case next.cursor != next.run.cursor: // the session of its Viewer has ended in the meantime
		return nil
	case next.err != nil:
		return next.run.cursorError(next.err)
	case isRunGone(next.item):
		if err := t.service.verifyGone(ctx, next.run.Run); err != nil {
			return t.detachOrFail(ctx, next.run, err)
		}
	}
	return t.handleItem(next.run, next.item)
}

// sendHeartbeatIfDue sends a heartbeat if the stream was silent.
func (t *tail) sendHeartbeatIfDue(ctx context.Context) error {
	if !t.heartbeat.isDue() {
		return nil
	}
	return t.sendHeartbeat(ctx)
}

// isFinished reports whether nothing more can be sent.
func (t *tail) isFinished() bool {
	if t.filter != nil && (t.until == follow.Forever || !t.filter.isFinished()) {
		return false
	}
	for _, r := range t.runs {
		if !r.state.isDone() {
			return false
		}
	}
	return true
}

// finish ends a tail whose runs have all ended. If some may not have been delivered, it
// reports that first.
func (t *tail) finish(ctx context.Context) error {
	found := func(r *tailedRun) bool { return r.state.phase != runMissing }
	if t.filter == nil && !slices.ContainsFunc(t.runs, found) {
		return source.Of(t.runs[0].Run).NotFoundError()
	}
	if t.filter != nil && t.filter.notFollowed() > 0 || t.leftOut.Excess != t.reportedExcess {
		return t.sendHeartbeat(ctx)
	}
	return t.sendNotFound()
}

// sendHeartbeat sends the health of the tail.
func (t *tail) sendHeartbeat(ctx context.Context) error {
	if err := errors.Join(t.sendNotFound(), t.syncViewers(ctx)); err != nil { // possibly no other call refreshes the list of tunneled Viewers
		return err
	}
	return t.send(nil, t.health(ctx))
}

// health returns the heartbeat. It is assembled before it is sent, so that the stack does
// not hold both at the same time; see freshstack.Run.
func (t *tail) health(ctx context.Context) *runicornapiv1.TailMetricsResponse {
	var summary healthSummary
	followed := int32(0)
	summary.counts = t.leftOut
	for _, r := range t.runs {
		switch {
		case r.state.isDone():
		case r.state.detached:
			summary.add(&follow.Health{State: follow.UpstreamFailing, LastError: &fleet.EndedError{Name: r.Name}, BehindBytes: -1})
			followed++
		case r.cursor != nil:
			h := r.cursor.Health()
			summary.add(&h)
			followed++
		}
	}
	notFollowed := int64(0)
	if t.filter != nil {
		t.filter.addHealth(&summary, followed == 0)
		notFollowed = t.filter.notFollowed()
	}
	t.reportedExcess = summary.counts.Excess
	h := summary.message(ctx)
	h.FollowedRunCount, h.NotFollowedRunCount = followed, convert.Clamp32(notFollowed)
	return &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_Heartbeat{Heartbeat: h}}
}

// send sends a message about a run, or about the stream if r is nil.
func (t *tail) send(r *tailedRun, m *runicornapiv1.TailMetricsResponse) error {
	if r != nil {
		if err := t.sendNotFound(); err != nil {
			return err
		}
		m.Viewer, m.RunId = r.Name, convert.Text(r.RunID)
	}
	m.ResumeToken = t.token().String()
	t.heartbeat.messageSent()
	return wire.SendOnFreshStack(t.stream, m)
}

// sendEncoded sends a message that is shared with other streams.
func (t *tail) sendEncoded(e *wire.Encoded) error {
	if err := t.sendNotFound(); err != nil {
		return err
	}
	t.heartbeat.messageSent()
	return t.stream.SendMsg(e)
}

// sendNotFound sends the end of each run that does not exist.
func (t *tail) sendNotFound() error {
	notFound := t.notFound
	t.notFound = nil
	for _, r := range notFound {
		if err := t.send(r, endMessage(runicornapiv1.EndReason_END_REASON_NOT_FOUND, "")); err != nil {
			return err
		}
	}
	return nil
}

// token returns the token after everything that was sent.
func (t *tail) token() *tailToken {
	token := &tailToken{runs: make([]tailRun, 0, len(t.runs))}
	for _, r := range t.runs {
		token.runs = append(token.runs, tailRun{viewer: r.Name, runID: r.RunID, marks: r.state.marks(), at: r.at})
	}
	if t.filter != nil {
		t.filter.fillToken(token)
	}
	return token
}
