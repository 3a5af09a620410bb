package tail

import (
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/logbatch"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/points"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/wire"
)

// tailedRun is one run of a tail.
type tailedRun struct {
	target.Run
	state  runState
	cursor *follow.Cursor // nil before it is opened, and after its end
	// at is the position after what was sent.
	at             runsource.Position
	endedAt        time.Time
	created        runMark // of a run by filter
	buffered       *points.Buffer
	stopForwarding func()
}

// open opens a cursor at the run's position.
func (r *tailedRun) open(t *tail) (err error) {
	if r.cursor != nil || r.state.isDone() {
		return nil
	}
	if r.state.phase == runPartial {
		r.at = runsource.Beginning()
		r.state.on(eventReset)
		if err := t.send(r, resetMessage(runicornapiv1.LogResetReason_LOG_RESET_REASON_SOURCE_CHANGED)); err != nil {
			return err
		}
	}
	if t.req.GetHistoryDownsample() != nil && r.state.marks()&markLive == 0 {
		r.buffered = points.NewBuffer(t.service.config.Budget)
	}
	until := t.until
	if t.filter != nil {
		until = follow.UntilEnded // a run that has ended frees its slot for another one
	}
	r.cursor, err = t.service.config.Hub.Follow(runsource.Key{Viewer: r.Name, RunID: r.RunID}, source.Of(r.Run), r.Client, r.at, until)
	return err
}

// close releases the cursor.
func (r *tailedRun) close() {
	if r.stopForwarding != nil {
		r.stopForwarding()
		r.stopForwarding = nil
	}
	if r.cursor != nil {
		r.cursor.Close()
		r.cursor = nil
	}
	if r.buffered != nil {
		r.buffered.ReleaseAll()
		r.buffered = nil
	}
}

// cursorError maps the error of a cursor to that of the call.
func (r *tailedRun) cursorError(err error) error {
	switch {
	case errors.Is(err, follow.ErrUnreachable):
		return apierr.Unreachable(r.Name, fmt.Sprintf("viewer %s has not answered for too long; resume the stream", r.Name), err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the run %s was read beyond its end: %w", r.ResourceName(), err)
	}
	return err
}

// handleItem sends the message for one item.
func (t *tail) handleItem(r *tailedRun, item *follow.Item) error {
	switch item.Kind {
	case follow.ItemBatch:
		r.state.on(eventItem)
		return t.sendBatch(r, item)
	case follow.ItemCaughtUp:
		if r.state.phase == runResting {
			return nil // nothing was logged since the end, before which this was sent
		}
		return t.sendCaughtUp(r, item.Position)
	case follow.ItemReset:
		return t.sendReset(r, item)
	case follow.ItemStatus:
		r.state.on(eventItem)
		if r.buffered == nil { // a buffered history resumes from its beginning
			r.at = item.Position
		}
		return t.send(r, stateMessage(item.Status))
	case follow.ItemEnd:
		return t.sendEnd(r, item)
	}
	return nil
}

// sendBatch sends points, or buffers them if they belong to a history that is to be
// downsampled.
func (t *tail) sendBatch(r *tailedRun, item *follow.Item) error {
	if r.buffered != nil {
		return r.buffered.Append(t.selection.of(item.Batch), item.Batch.Origin())
	}
	r.at = item.Position
	shared := item.Batch.Encoded(t.sharedKey(r), func() []byte { return t.encode(r, item.Batch) })
	if len(shared) == 0 { // the batch has nothing that is selected
		return nil
	}
	if t.isSingle() { // the message contains the token
		return t.sendEncoded(wire.Whole(shared))
	}
	return t.sendEncoded(wire.WithToken(shared, t.token().String()))
}

// sharedKey is equal for tails whose messages of a batch share their bytes. These are
// tails with the same selection. The message of a tail of one run includes the token, so
// there the token's other content must be equal as well.
func (t *tail) sharedKey(r *tailedRun) string {
	if !t.isSingle() {
		return t.selection.key
	}
	if marks := r.state.marks(); t.key == "" || t.keyMarks != marks {
		t.key, t.keyMarks = "single "+string(rune(marks))+t.selection.key, marks
	}
	return t.key
}

// encode encodes a batch: with the token for a tail of one run, otherwise without it. It
// is called once for all streams with the same key.
func (t *tail) encode(r *tailedRun, batch *logbatch.Batch) []byte {
	message := points.Message(t.selection.of(batch), batch.Origin())
	if message == nil {
		return nil
	}
	if r.state.phase == runLive && t.service.config.ObserveLag != nil {
		if newest := newestTime(message); newest > 0 {
			t.service.config.ObserveLag(float64(time.Now().UnixMicro())/1e6 - newest)
		}
	}
	whole := &runicornapiv1.TailMetricsResponse{
		Viewer: r.Name, RunId: convert.Text(r.RunID),
		Event: &runicornapiv1.TailMetricsResponse_Batch{Batch: message},
	}
	if t.isSingle() {
		whole.ResumeToken = t.token().String()
	}
	bytes, err := proto.Marshal(whole)
	if err != nil {
		return nil // only for text that is not UTF-8, which was replaced
	}
	return bytes
}

// sendCaughtUp ends a history, and sends it now if it is downsampled.
func (t *tail) sendCaughtUp(r *tailedRun, at runsource.Position) error {
	if r.buffered != nil {
		r.state.on(eventPart)
		for message := range r.buffered.Messages(int(t.req.GetHistoryDownsample().GetMaxPoints())) {
			if err := t.send(r, &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_Batch{Batch: message}}); err != nil {
				return err
			}
		}
		r.buffered.ReleaseAll()
		r.buffered = nil
	}
	r.at = at
	r.state.on(eventCaughtUp)
	return t.send(r, &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_CaughtUp{CaughtUp: &runicornapiv1.CaughtUp{}}})
}

// sendReset announces that the run is sent again from its beginning.
func (t *tail) sendReset(r *tailedRun, item *follow.Item) error {
	r.at = item.Position
	r.state.on(eventReset)
	if r.buffered != nil {
		r.buffered.ReleaseAll()
		r.buffered = nil
	}
	if t.req.GetHistoryDownsample() != nil {
		r.buffered = points.NewBuffer(t.service.config.Budget)
	}
	return t.send(r, resetMessage(resetReasons[item.Reset]))
}

// sendEnd announces that nothing more of the run follows.
func (t *tail) sendEnd(r *tailedRun, item *follow.Item) error {
	if r.buffered != nil && item.End == follow.EndTerminal { // caught_up was not sent yet
		if err := t.sendCaughtUp(r, item.Position); err != nil {
			return err
		}
	}
	if r.cursor != nil {
		h := r.cursor.Health()
		t.leftOut.Add(h.Counts)
	}
	r.close()
	r.at, r.endedAt = item.Position, time.Now()
	r.state.on(endEvent(item))
	if t.filter != nil {
		defer t.fillSlots() // after the end was sent, so that the token has it
	}
	if r.state.phase == runMissing {
		t.notFound = append(t.notFound, r)
		return nil
	}
	return t.send(r, endMessage(endReason(item), item.Status.Text))
}

// endEvent returns the event for the end of a cursor.
func endEvent(item *follow.Item) runEvent {
	if item.End == follow.EndNotFound {
		return eventMissing
	}
	return eventEnd
}

// resetReasons maps to the contract's values.
var resetReasons = map[follow.ResetReason]runicornapiv1.LogResetReason{
	follow.LogTruncated:  runicornapiv1.LogResetReason_LOG_RESET_REASON_TRUNCATED,
	follow.LogReplaced:   runicornapiv1.LogResetReason_LOG_RESET_REASON_REPLACED,
	follow.SourceChanged: runicornapiv1.LogResetReason_LOG_RESET_REASON_SOURCE_CHANGED,
}

// endReason returns the contract's value for an end. A run that existed and is not found
// was deleted.
func endReason(item *follow.Item) runicornapiv1.EndReason {
	if item.End != follow.EndTerminal {
		return runicornapiv1.EndReason_END_REASON_DELETED
	}
	switch convert.Status(item.Status.Text) {
	case runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED:
		return runicornapiv1.EndReason_END_REASON_FINISHED
	case runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED:
		return runicornapiv1.EndReason_END_REASON_FAILED
	case runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED:
		return runicornapiv1.EndReason_END_REASON_INTERRUPTED
	}
	return runicornapiv1.EndReason_END_REASON_OTHER
}

func resetMessage(reason runicornapiv1.LogResetReason) *runicornapiv1.TailMetricsResponse {
	return &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_LogReset{LogReset: &runicornapiv1.LogReset{Reason: reason}}}
}

func stateMessage(status runsource.Status) *runicornapiv1.TailMetricsResponse {
	return &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_StatusChange{StatusChange: &runicornapiv1.StatusChange{
		Status: convert.Status(status.Text), ViewerStatus: convert.Text(status.Text),
	}}}
}

func endMessage(reason runicornapiv1.EndReason, viewerStatus string) *runicornapiv1.TailMetricsResponse {
	return &runicornapiv1.TailMetricsResponse{Event: &runicornapiv1.TailMetricsResponse_End{End: &runicornapiv1.TailEnd{
		Reason: reason, ViewerStatus: convert.Text(viewerStatus),
	}}}
}
