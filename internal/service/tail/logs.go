package tail

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
)

// logTail is one call of TailLogs. It belongs to the goroutine of the call.
type logTail struct {
	service *Service
	*tailedRun
	stream    grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]
	heartbeat heartbeatTimer
}

// TailLogs sends the lines of a run's text log.
func (s *Service) TailLogs(req *runicornapiv1.TailLogsRequest, stream grpc.ServerStreamingServer[runicornapiv1.TailLogsResponse]) error {
	ctx, stop := s.config.Drain.WithDrain(stream.Context())
	defer stop()
	run, err := s.logStart(ctx, req)
	switch {
	case isViewerGone(err) && run != nil && run.state.phase == runResting:
		return nil // the end was already sent
	case err != nil:
		return err
	}
	ctx, stopSession := withSessionCancel(ctx, run.Viewer)
	defer stopSession()
	until := untilOf(req.GetUntil(), false)
	key := runsource.Key{Viewer: run.Name, RunID: run.RunID}
	if run.cursor, err = s.config.Hub.FollowLog(key, source.Of(run.Run), run.Client, run.at, until); err != nil {
		return streamError(ctx, err)
	}
	defer run.close()
	t := &logTail{service: s, tailedRun: run, stream: stream, heartbeat: heartbeatTimer{interval: heartbeatInterval(req.GetHeartbeatInterval())}}
	return t.run(ctx)
}

var errOtherRun = errors.New("it belongs to another run than run_id")

// logStart returns the run of a request with the position to begin at.
func (s *Service) logStart(ctx context.Context, req *runicornapiv1.TailLogsRequest) (*tailedRun, error) {
	if req.GetResumeToken() != "" {
		return s.logResume(ctx, req)
	}
	requested, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	run := &tailedRun{Run: requested, at: runsource.Beginning()}
	switch {
	case req.LastLines != nil:
		run.at = runsource.LastLines(int64(req.GetLastLines()))
	case req.GetStart() == runicornapiv1.TailStart_TAIL_START_NOW:
		run.at = runsource.Now()
	}
	return run, nil
}

// logResume continues with the run of a token.
func (s *Service) logResume(ctx context.Context, req *runicornapiv1.TailLogsRequest) (*tailedRun, error) {
	token, err := readLogToken(req.GetResumeToken())
	if err != nil {
		return nil, invalidResumeToken(err)
	}
	viewer, runID, err := s.resolver.ViewerOf(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	saved := &token.runs[0]
	if !isSameViewer(saved.viewer, viewer) || saved.runID != runID {
		return nil, invalidResumeToken(errOtherRun)
	}
	found, err := s.resolveSavedRun(ctx, viewer, saved)
	return &tailedRun{Run: found, at: saved.at, state: savedState(saved)}, err
}

// run sends the log until the run has ended. A browser that reconnects after the end gets
// a stream with only the end message, so that it stops reconnecting.
func (t *logTail) run(ctx context.Context) error {
	first := min(firstMessageTimeout, t.heartbeat.interval)
	if t.state.phase == runResting {
		first = t.heartbeat.interval
	}
	t.heartbeat.start(first)
	defer t.heartbeat.stop()
	for !t.state.isDone() {
		if err := t.step(ctx); err != nil {
			return streamError(ctx, err)
		}
	}
	return nil
}

// step waits for one item, or until the next heartbeat.
func (t *logTail) step(ctx context.Context) error {
	item, err := t.cursor.NextBefore(ctx, t.heartbeat.timer.C)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return t.cursorError(err)
	case isRunGone(item):
		if err := t.service.verifyGone(ctx, t.Run); err != nil {
			return err
		}
		return t.handleItem(item)
	case item != nil:
		return t.handleItem(item)
	case t.heartbeat.isDue():
		return t.sendHeartbeat(ctx)
	}
	return nil
}

// handleItem sends the message for one item.
func (t *logTail) handleItem(item *follow.Item) error {
	if item.Kind == follow.ItemCaughtUp && t.state.phase == runResting {
		return nil // nothing was logged since the end, before which this was sent
	}
	t.at = item.Position
	switch item.Kind {
	case follow.ItemBatch:
		t.state.on(eventItem)
		return t.sendBatch(item.Batch)
	case follow.ItemPartial:
		return t.sendPartial(item.Partial)
	case follow.ItemCaughtUp:
		t.state.on(eventCaughtUp)
		return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_CaughtUp{CaughtUp: &runicornapiv1.CaughtUp{}}})
	case follow.ItemReset:
		t.state.on(eventReset)
		reset := &runicornapiv1.LogReset{Reason: resetReasons[item.Reset]}
		return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_LogReset{LogReset: reset}})
	case follow.ItemStatus:
		t.state.on(eventItem)
		state := stateMessage(item.Status).GetStatusChange()
		return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_StatusChange{StatusChange: state}})
	case follow.ItemEnd:
		t.state.on(endEvent(item))
		if t.state.phase == runMissing {
			return source.Of(t.Run).NotFoundError()
		}
		end := endMessage(endReason(item), item.Status.Text).GetEnd()
		return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_End{End: end}})
	}
	return nil
}

// sendHeartbeat sends the health of the tail.
func (t *logTail) sendHeartbeat(ctx context.Context) error {
	var summary healthSummary
	health := t.cursor.Health()
	summary.add(&health)
	h := summary.message(ctx)
	h.FollowedRunCount = 1
	return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_Heartbeat{Heartbeat: h}})
}

// sendBatch sends lines. Their encoding is shared by all streams.
func (t *logTail) sendBatch(batch *logbatch.Batch) error {
	shared := batch.Encoded("lines", func() []byte { return t.encode(batch) })
	t.heartbeat.messageSent()
	return t.stream.SendMsg(wire.WithToken(shared, t.token().String()))
}

// sendPartial sends a line without a newline. The token stays before the line.
func (t *logTail) sendPartial(line *logbatch.LogLine) error {
	out := &runicornapiv1.LogLine{Text: line.Text, Lossy: line.Lossy, Offset: &line.Offset, Partial: true}
	return t.send(&runicornapiv1.TailLogsResponse{Event: &runicornapiv1.TailLogsResponse_Batch{
		Batch: &runicornapiv1.LogBatch{Lines: []*runicornapiv1.LogLine{out}},
	}})
}

// encode encodes a batch without the token.
func (t *logTail) encode(batch *logbatch.Batch) []byte {
	hasOffsets := batch.Origin() == runsource.FromLogFile
	lines := make([]*runicornapiv1.LogLine, 0, len(batch.Lines()))
	for _, line := range batch.Lines() {
		out := &runicornapiv1.LogLine{Text: line.Text, Lossy: line.Lossy}
		if hasOffsets {
			out.Offset = &line.Offset
		}
		lines = append(lines, out)
	}
	bytes, err := proto.Marshal(&runicornapiv1.TailLogsResponse{
		Viewer: t.Name, RunId: convert.Text(t.RunID),
		Event: &runicornapiv1.TailLogsResponse_Batch{Batch: &runicornapiv1.LogBatch{Lines: lines}},
	})
	if err != nil {
		return nil // only for text that is not UTF-8, which was replaced
	}
	return bytes
}

// send sends a message about the run.
func (t *logTail) send(m *runicornapiv1.TailLogsResponse) error {
	m.Viewer, m.RunId, m.ResumeToken = t.Name, convert.Text(t.RunID), t.token().String()
	t.heartbeat.messageSent()
	return wire.SendOnFreshStack(t.stream, m)
}

// token returns the token after everything that was sent.
func (t *logTail) token() *tailToken {
	return &tailToken{textLog: true, runs: []tailRun{{viewer: t.Name, runID: t.RunID, marks: t.state.marks(), at: t.at}}}
}
