package metrics

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// historyStream is the stream to the client of a history.
type historyStream = grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]

// history is one call of StreamMetrics.
type history struct {
	service   *Service
	req       *runicornapiv1.StreamMetricsRequest
	stream    historyStream
	selection eventlog.Selection
	maxPoints int // of a downsampled series; all points if 0
	trailer   runicornapiv1.StreamTrailer
}

// StreamMetrics sends the history of runs, one after the other. It returns OK only after
// the trailer.
func (s *Service) StreamMetrics(req *runicornapiv1.StreamMetricsRequest, stream grpc.ServerStreamingServer[runicornapiv1.StreamMetricsResponse]) error {
	merged := req.GetOrder() == runicornapiv1.StreamOrder_STREAM_ORDER_MERGED
	if merged && req.GetPositions() {
		return apierr.Invalid("positions", "must not be set with order STREAM_ORDER_MERGED: merged points have none")
	}
	ctx, stop := s.config.Drain.WithDrain(stream.Context())
	defer stop()
	h := &history{
		service: s, req: req, stream: stream,
		selection: convert.Selection(req), maxPoints: int(req.GetDownsample().GetMaxPoints()),
	}
	h.selection.MinStep, h.selection.MaxStep = req.MinStep, req.MaxStep
	targets, err := s.resolver.Runs(ctx, req.GetViewer(), req.GetRunIds())
	if err != nil {
		return err
	}
	send := h.sendLogged
	switch {
	case merged:
		send = h.sendMerged
	case h.maxPoints > 0:
		send = h.sendDownsampled
	}
	for _, t := range target.Unique(targets) {
		if err := send(ctx, t); err != nil {
			return streamError(ctx, err)
		}
		h.trailer.RunCount++
	}
	return stream.Send(&runicornapiv1.StreamMetricsResponse{Event: &runicornapiv1.StreamMetricsResponse_Trailer{Trailer: &h.trailer}})
}

// streamError maps an error to that of the call.
func streamError(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), drain.ErrDraining) {
		return drain.ErrDraining
	}
	return err
}

// sendLogged sends a run in the order of its log while it is read.
func (h *history) sendLogged(ctx context.Context, t target.Run) error {
	leftOut, err := runsource.Stream(ctx, h.service.config.CPUGate, source.Of(t), h.selection, func(origin runsource.Origin, series []eventlog.Series) error {
		message := points.Message(h.withPositions(series), origin)
		h.trailer.TotalPointCount += pointCount(message)
		return h.send(t, message)
	})
	h.addCounts(t, &leftOut)
	return err
}

// withPositions removes the positions unless they are requested.
func (h *history) withPositions(series []eventlog.Series) []eventlog.Series {
	if !h.req.GetPositions() {
		for i := range series {
			series[i].Positions = nil
		}
	}
	return series
}

// sendDownsampled buffers the selected points of a run, then sends them downsampled.
func (h *history) sendDownsampled(ctx context.Context, t target.Run) error {
	buffered := points.NewBuffer(h.service.config.Budget)
	defer buffered.ReleaseAll()
	leftOut, err := runsource.Stream(ctx, h.service.config.CPUGate, source.Of(t), h.selection, func(origin runsource.Origin, series []eventlog.Series) error {
		return buffered.Append(h.withPositions(series), origin)
	})
	if err != nil {
		return err
	}
	h.addCounts(t, &leftOut)
	return h.sendBuffered(t, buffered)
}

// sendMerged copies the selected points of a run's merged view, then sends them when the
// run is no longer locked.
func (h *history) sendMerged(ctx context.Context, t target.Run) error {
	buffered := points.NewBuffer(h.service.config.Budget)
	defer buffered.ReleaseAll()
	err := h.service.reader.Read(ctx, t, func(v *runcache.View) error {
		h.addCounts(t, &v.Counts)
		single := h.selection
		for _, name := range v.Table.Names(h.selection) {
			if err := ctx.Err(); err != nil {
				return err
			}
			single.Names, single.Prefixes = []string{name}, nil
			if err := buffered.Add(v.Table.Series(single), v.Origin); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return h.sendBuffered(t, buffered)
}

// sendBuffered sends the buffered points, downsampled if that is requested.
func (h *history) sendBuffered(t target.Run, buffered *points.Buffer) error {
	h.trailer.TotalPointCount += buffered.Points
	for message := range buffered.Messages(h.maxPoints) {
		if err := h.send(t, message); err != nil {
			return err
		}
	}
	return nil
}

// addCounts adds up what was left out of a run.
func (h *history) addCounts(t target.Run, counts *eventlog.Counts) {
	h.trailer.MalformedLineCount += int64(counts.MalformedLines)      //nolint:gosec // fewer than the file has bytes
	h.trailer.LinesWithoutStepCount += int64(counts.LinesWithoutStep) //nolint:gosec // as above
	for _, text := range counts.Limitations() {
		h.trailer.Limitations = append(h.trailer.Limitations, convert.Text(t.ResourceName()+": "+text))
	}
}

// send sends one batch.
func (h *history) send(t target.Run, message *runicornapiv1.MetricBatch) error {
	h.trailer.BatchCount++
	h.trailer.PointCount += pointCount(message)
	return h.stream.Send(&runicornapiv1.StreamMetricsResponse{
		Viewer: t.Name, RunId: convert.Text(t.RunID),
		Event: &runicornapiv1.StreamMetricsResponse_Batch{Batch: message},
	})
}

// pointCount returns the number of points of a batch.
func pointCount(m *runicornapiv1.MetricBatch) (n int64) {
	for _, s := range m.GetSeries() {
		n += int64(len(s.GetSteps()))
	}
	return n
}
