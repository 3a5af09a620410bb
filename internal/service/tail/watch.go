package tail

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// maxSnapshotRuns is the maximum number of experiments in a part of the snapshot, and
	// maxSnapshotBytes its maximum size, unless it has only one.
	maxSnapshotRuns  = 500
	maxSnapshotBytes = 1 << 20
	// syncTimeout is how long a watch waits for Viewers that do not answer before it
	// reports its snapshot as complete without them.
	syncTimeout = 5 * time.Second
)

// watch is one call of WatchExperiments.
type watch struct {
	*subscription
	stream   grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]
	matcher  *filter.Filter[*runs.Entry]
	late     *lateFields
	interval time.Duration // between heartbeats
	due      time.Time     // of the next heartbeat
	synced   bool
	deadline time.Time // of the snapshot
}

// WatchExperiments sends the experiments that match, then their changes.
func (s *Service) WatchExperiments(req *runicornapiv1.WatchExperimentsRequest, stream grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]) error {
	ctx, stop := s.config.Drain.WithDrain(stream.Context())
	defer stop()
	matcher, err := runs.NewMatcher(req.GetFilter())
	if err != nil {
		return err
	}
	interval := heartbeatInterval(req.GetHeartbeatInterval())
	w := &watch{
		subscription: newSubscription(s, req.GetViewer()), stream: stream, matcher: matcher, interval: interval,
		late: s.newLateFields(matcher, req.GetMetricNames()),
		due:  time.Now().Add(min(interval, firstMessageTimeout)), deadline: time.Now().Add(syncTimeout),
	}
	defer w.close()
	if w.viewer == target.AllViewers {
		w.deadline = time.Now().Add(s.config.Fleet.FanOutTimeout())
	}
	if _, err := w.sync(ctx); err != nil {
		return err
	}
	if w.viewer != target.AllViewers {
		var stopSession func()
		ctx, stopSession = withSessionCancel(ctx, w.subs[0].viewer)
		defer stopSession()
	}
	return streamError(ctx, w.run(ctx))
}

// run sends updates until the call ends.
func (w *watch) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := w.sendUpdates(ctx); err != nil {
			return err
		}
		next := w.due
		if !w.synced && w.deadline.Before(next) {
			next = w.deadline
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		case <-w.changed:
			if err := w.syncViewers(ctx); err != nil {
				return err
			}
		case <-timer.C:
		}
	}
}

// sendUpdates sends new updates, and a heartbeat if one is due.
func (w *watch) sendUpdates(ctx context.Context) error {
	for _, m := range w.subs {
		if err := w.sendViewerUpdates(ctx, m); err != nil {
			return err
		}
	}
	if !w.synced {
		if err := w.finishSnapshot(ctx); err != nil {
			return err
		}
	}
	if time.Now().Before(w.due) {
		return nil
	}
	if w.viewer == target.AllViewers { // possibly no other call refreshes the list of tunneled Viewers
		if err := w.syncViewers(ctx); err != nil {
			return err
		}
	}
	return w.sendHeartbeat(ctx)
}

// sendViewerUpdates sends the new updates of one Viewer.
func (w *watch) sendViewerUpdates(ctx context.Context, m *viewerSubscription) error {
	last, err := m.state()
	m.syncErr = err
	if last == nil { // a failure is reported by finishSnapshot, and by heartbeats
		return nil
	}
	var wait time.Duration
	if !m.synced { // runs that cannot be decided by then are sent later as created
		wait = time.Until(w.due)
	}
	if last, _, err = w.late.add(ctx, m, last, wait); err != nil {
		return err
	}
	if !m.synced && !w.synced {
		m.synced = true
		return w.sendSnapshot(m, last)
	}
	m.synced = true
	return w.sendChanges(m, last)
}

// sendSnapshot sends the first list of a Viewer.
func (w *watch) sendSnapshot(m *viewerSubscription, l *listSnapshot) error {
	var experiments []*runicornapiv1.Experiment
	for _, run := range newestRuns(l) {
		if w.matcher.Match(&run.Entry) {
			m.sent[run.Run.ID] = run
			experiments = append(experiments, run.experiment)
		}
	}
	for len(experiments) > 0 {
		n := answer.CountFitting(experiments[:min(maxSnapshotRuns, len(experiments))], maxSnapshotBytes)
		part := experiments[:n]
		experiments = experiments[n:]
		if err := w.send(&runicornapiv1.WatchExperimentsResponse{Viewer: m.viewer.Name, Event: &runicornapiv1.WatchExperimentsResponse_Snapshot{
			Snapshot: &runicornapiv1.ExperimentSnapshot{Experiments: part},
		}}); err != nil {
			return err
		}
	}
	return nil
}

// newestRuns returns the runs of a list, newest first.
func newestRuns(l *listSnapshot) []*listedRun {
	return slices.SortedFunc(maps.Values(l.runs), func(a, b *listedRun) int {
		return cmp.Or(cmp.Compare(b.createdMicros(), a.createdMicros()), strings.Compare(a.Run.ID, b.Run.ID))
	})
}

// sendChanges sends the differences between a list and what the client has.
func (w *watch) sendChanges(m *viewerSubscription, l *listSnapshot) error {
	var changed []*listedRun
	for id, run := range l.runs {
		if old := m.sent[id]; old != run && w.matcher.Match(&run.Entry) {
			changed = append(changed, run)
		}
	}
	slices.SortFunc(changed, func(a, b *listedRun) int {
		return cmp.Or(cmp.Compare(a.createdMicros(), b.createdMicros()), strings.Compare(a.Run.ID, b.Run.ID))
	})
	for _, run := range changed {
		if err := w.sendChange(m, run); err != nil {
			return err
		}
	}
	for id := range m.sent {
		if run := l.runs[id]; run == nil || !w.matcher.Match(&run.Entry) {
			if err := w.sendDeleted(m, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// sendChange sends one experiment that is new or has changed.
func (w *watch) sendChange(m *viewerSubscription, run *listedRun) error {
	old := m.sent[run.Run.ID]
	m.sent[run.Run.ID] = run
	out := &runicornapiv1.WatchExperimentsResponse{Viewer: m.viewer.Name}
	switch {
	case old == nil:
		out.Event = &runicornapiv1.WatchExperimentsResponse_Created{Created: run.experiment}
	case old.experiment.GetEtag() != run.experiment.GetEtag(), len(w.late.metricNames) > 0 && old.Record != run.Record:
		out.Event = &runicornapiv1.WatchExperimentsResponse_Updated{Updated: run.experiment}
	default:
		return nil
	}
	return w.send(out)
}

// sendDeleted reports that an experiment was deleted, or no longer matches.
func (w *watch) sendDeleted(m *viewerSubscription, runID string) error {
	delete(m.sent, runID)
	return w.send(&runicornapiv1.WatchExperimentsResponse{Viewer: m.viewer.Name, Event: &runicornapiv1.WatchExperimentsResponse_Deleted{
		Deleted: &runicornapiv1.DeletedReference{
			Viewer: m.viewer.Name, RunId: convert.Text(runID), ResourceName: convert.Text(target.ResourceName(m.viewer.Name, runID)),
		},
	}})
}

// syncViewers adds new Viewers, and removes the experiments of those that were removed.
func (w *watch) syncViewers(ctx context.Context) error {
	gone, err := w.sync(ctx)
	if err != nil {
		return err
	}
	for _, m := range gone {
		for id := range m.sent {
			if err := w.sendDeleted(m, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishSnapshot ends the snapshot when all Viewers have answered, or at the deadline.
// With a single Viewer, or if every Viewer fails, the call returns the error.
func (w *watch) finishSnapshot(ctx context.Context) error {
	expired := !time.Now().Before(w.deadline)
	var errs []error
	synced := &runicornapiv1.Synced{}
	for _, m := range w.subs {
		err := m.syncErr
		if !m.synced && err == nil {
			if !expired {
				return nil
			}
			err = target.TimeoutError(ctx, m.viewer.Name, context.DeadlineExceeded)
		}
		if !m.synced {
			errs = append(errs, err)
			synced.Unreachable = append(synced.Unreachable, &runicornapiv1.UnreachableViewer{
				Viewer: m.viewer.Name, Error: errmap.Status(ctx, err).Proto(),
			})
		}
		synced.ExperimentCount += convert.Clamp32(int64(len(m.sent)))
	}
	switch {
	case len(errs) > 0 && w.viewer != target.AllViewers:
		return errs[0]
	case len(errs) > 0 && len(errs) == len(w.subs):
		return target.AllFailed(ctx, errs)
	}
	w.synced = true
	return w.send(&runicornapiv1.WatchExperimentsResponse{Event: &runicornapiv1.WatchExperimentsResponse_Synced{Synced: synced}})
}

// sendHeartbeat sends the health of the watch.
func (w *watch) sendHeartbeat(ctx context.Context) error {
	var summary healthSummary
	sentCount := 0
	for _, m := range w.subs {
		h := m.health()
		summary.add(&h)
		sentCount += len(m.sent)
	}
	h := summary.message(ctx)
	return w.send(&runicornapiv1.WatchExperimentsResponse{Event: &runicornapiv1.WatchExperimentsResponse_Heartbeat{
		Heartbeat: &runicornapiv1.WatchHeartbeat{
			LastSuccessTime: h.GetLastSuccessTime(), UpstreamState: h.GetUpstreamState(), LastError: h.GetLastError(),
			PollInterval: h.GetPollInterval(), ExperimentCount: convert.Clamp32(int64(sentCount)),
		},
	}})
}

// send sends a message, and postpones the next heartbeat.
func (w *watch) send(m *runicornapiv1.WatchExperimentsResponse) error {
	w.due = time.Now().Add(w.interval)
	return w.stream.Send(m)
}
