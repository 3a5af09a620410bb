package service

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/processor"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// historyStream is where the messages of a history go.
type historyStream = grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]

// history is one call of StreamMetrics.
type history struct {
	*Deps
	req       *runicornapiv1.StreamMetricsRequest
	stream    historyStream
	selection eventlog.Selection
	maxPoints int // of a thinned series; not thinned if 0
	trailer   runicornapiv1.StreamTrailer
}

// StreamMetrics sends the history of runs, one after the other. It ends OK
// behind its trailer only.
func (s *metricService) StreamMetrics(req *runicornapiv1.StreamMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	isMerged := req.GetOrder() == runicornapiv1.StreamOrder_STREAM_ORDER_MERGED
	if isMerged && req.GetPositions() {
		return invalid("positions", "must not be set with order STREAM_ORDER_MERGED: merged points have none")
	}
	ctx, stop := s.draining.watch(processor.With(stream.Context(), s.gate))
	defer stop()
	h := &history{
		Deps: &s.Deps, req: req, stream: stream,
		selection: metricSelection(req), maxPoints: int(req.GetDownsample().GetMaxPoints()),
	}
	h.selection.MinStep, h.selection.MaxStep = req.MinStep, req.MaxStep
	targets, err := s.targets(ctx, req.GetViewer(), req.GetRunIds())
	if err != nil {
		return err
	}
	send := h.logged
	switch {
	case isMerged:
		send = h.merged
	case h.maxPoints > 0:
		send = h.thinned
	}
	for _, t := range uniqueTargets(targets) {
		if err := send(ctx, t); err != nil {
			return h.verdict(ctx, t, err)
		}
		h.trailer.RunCount++
	}
	return stream.Send(&runicornapiv1.StreamMetricsResponse{Event: &runicornapiv1.StreamMetricsResponse_Trailer{Trailer: &h.trailer}})
}

// verdict makes the error of the call.
func (h *history) verdict(ctx context.Context, t target, err error) error {
	if errors.Is(context.Cause(ctx), errDraining) {
		return errStreamDrained
	}
	return lineTooLong(t, err)
}

// logged sends a run in the order of its log, as it is read.
func (h *history) logged(ctx context.Context, t target) error {
	done, err := runlog.Stream(ctx, runSource{t}, h.selection, func(series []eventlog.Series) error {
		message := batchMessage(h.withPositions(series), originOf(series))
		h.trailer.TotalPointCount += points(message)
		return h.send(t, message)
	})
	h.count(done.MalformedLines, done.UnplacedPoints)
	return err
}

// originOf is what points were read from: those of a table have no positions.
func originOf(series []eventlog.Series) runlog.Origin {
	if len(series) > 0 && len(series[0].Positions) > 0 {
		return runlog.FromEventLog
	}
	return runlog.FromMergedTable
}

// withPositions leaves the positions out unless they are asked for.
func (h *history) withPositions(series []eventlog.Series) []eventlog.Series {
	if !h.req.GetPositions() {
		for i := range series {
			series[i].Positions = nil
		}
	}
	return series
}

// thinned holds the selected points of a run, and sends what is left of them.
func (h *history) thinned(ctx context.Context, t target) error {
	held := newHeldHistory(h.streamBytes)
	defer held.release()
	done, err := runlog.Stream(ctx, runSource{t}, h.selection, func(series []eventlog.Series) error {
		origin := originOf(series)
		return held.hold(h.withPositions(series), origin)
	})
	if err != nil {
		return err
	}
	h.count(done.MalformedLines, done.UnplacedPoints)
	return h.sendHeld(t, held)
}

// merged copies the selected points of a run's merged view, and sends them when
// it no longer holds up others who read the run.
func (h *history) merged(ctx context.Context, t target) error {
	held := newHeldHistory(h.streamBytes)
	defer held.release()
	err := h.readRun(ctx, t, func(v *runlog.View) error {
		h.count(v.MalformedLines, v.UnplacedPoints)
		one := h.selection
		for _, name := range v.Table.Names(h.selection) {
			one.Names, one.Prefixes = []string{name}, nil
			if err := held.keep(v.Table.Series(one), v.Origin); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return h.sendHeld(t, held)
}

// sendHeld thins what is held, if that is wanted, and sends it.
func (h *history) sendHeld(t target, held *heldHistory) error {
	h.trailer.TotalPointCount += held.points
	for _, message := range held.messages(h.maxPoints) {
		if err := h.send(t, message); err != nil {
			return err
		}
	}
	return nil
}

// count adds what was left out of a run.
func (h *history) count(malformed, unplaced uint64) {
	h.trailer.MalformedLineCount += int64(malformed)   //nolint:gosec // fewer than the file has bytes
	h.trailer.LinesWithoutStepCount += int64(unplaced) //nolint:gosec // as above
}

// send sends one batch.
func (h *history) send(t target, message *runicornapiv1.MetricBatch) error {
	h.trailer.BatchCount++
	h.trailer.PointCount += points(message)
	if err := checkTexts(t, message); err != nil {
		return err
	}
	return h.stream.Send(&runicornapiv1.StreamMetricsResponse{
		Viewer: t.Name, RunId: validText(t.runID),
		Event: &runicornapiv1.StreamMetricsResponse_Batch{Batch: message},
	})
}

// points counts the points of a batch.
func points(m *runicornapiv1.MetricBatch) (n int64) {
	for _, s := range m.GetSeries() {
		n += int64(len(s.GetSteps()))
	}
	return n
}
