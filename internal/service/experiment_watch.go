package service

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

const (
	// snapshotSize is how many experiments a part of the snapshot has at most, and
	// snapshotBytes how large it is, unless it has one only.
	snapshotSize  = 500
	snapshotBytes = 1 << 20
	// syncPatience is how long a watch waits for Viewers that do not answer before
	// it says that its snapshot is complete without them.
	syncPatience = 5 * time.Second
)

// watch is one call of WatchExperiments.
type watch struct {
	*roster
	stream   grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]
	matches  *filter.Filter[*entry]
	every    time.Duration // between heartbeats
	due      time.Time     // of the next one
	isSynced bool
	deadline time.Time // of the snapshot
}

// WatchExperiments sends the experiments that match, and then what changes.
func (s *experimentService) WatchExperiments(req *runicornapiv1.WatchExperimentsRequest, stream grpc.ServerStreamingServer[runicornapiv1.WatchExperimentsResponse]) error {
	ctx, stop := s.draining.watch(stream.Context())
	defer stop()
	if err := refuseUnsupported(req.GetMetricNames(), false); err != nil {
		return err
	}
	matches, err := newMatcher(req.GetFilter())
	if err != nil {
		return err
	}
	every := heartbeatInterval(req.GetHeartbeatInterval())
	w := &watch{
		roster: newRoster(&s.Deps, req.GetViewer()), stream: stream, matches: matches, every: every,
		due: time.Now().Add(min(every, firstPatience)), deadline: time.Now().Add(syncPatience),
	}
	defer w.close()
	if _, err := w.enroll(ctx); err != nil {
		return err
	}
	if w.viewer != allViewers {
		var forget func()
		ctx, forget = endingWith(ctx, w.members[0].viewer)
		defer forget()
	}
	return streamVerdict(ctx, w.run(ctx))
}

// run sends what is new until the call ends.
func (w *watch) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if err := w.tell(ctx); err != nil {
			return err
		}
		next := w.due
		if !w.isSynced && w.deadline.Before(next) {
			next = w.deadline
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		case <-w.changed:
			if err := w.replace(ctx); err != nil {
				return err
			}
		case <-timer.C:
		}
	}
}

// tell sends what is new, and a heartbeat if one is due.
func (w *watch) tell(ctx context.Context) error {
	for _, m := range w.members {
		if err := w.member(m); err != nil {
			return err
		}
	}
	if !w.isSynced {
		if err := w.sync(ctx); err != nil {
			return err
		}
	}
	if time.Now().Before(w.due) {
		return nil
	}
	if w.viewer == allViewers { // nobody else may ask for tunnelled Viewers
		if err := w.replace(ctx); err != nil {
			return err
		}
	}
	return w.heartbeat(ctx)
}

// member sends what is new of one Viewer.
func (w *watch) member(m *member) error {
	last, err := m.state()
	m.failed = err
	switch {
	case last == nil: // a failure is told by sync, and by heartbeats
		return nil
	case !m.isSynced && !w.isSynced:
		m.isSynced = true
		return w.snapshot(m, last)
	}
	m.isSynced = true
	return w.difference(m, last)
}

// snapshot sends the first list of a Viewer.
func (w *watch) snapshot(m *member, l *listing) error {
	var experiments []*runicornapiv1.Experiment
	for _, run := range inOrder(l) {
		if w.matches.Match(&run.entry) {
			m.known[run.run.ID] = run
			experiments = append(experiments, run.experiment)
		}
	}
	for len(experiments) > 0 {
		n := fitting(experiments[:min(snapshotSize, len(experiments))], snapshotBytes)
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

// inOrder is the runs of a list, the newest first.
func inOrder(l *listing) []*listed {
	runs := make([]*listed, 0, len(l.runs))
	for _, run := range l.runs {
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b *listed) int {
		return cmp.Or(cmp.Compare(b.created(), a.created()), strings.Compare(a.run.ID, b.run.ID))
	})
	return runs
}

// difference sends what another list has that the client does not know.
func (w *watch) difference(m *member, l *listing) error {
	var changed []*listed
	for id, run := range l.runs {
		if known := m.known[id]; known != run && w.matches.Match(&run.entry) {
			changed = append(changed, run)
		}
	}
	slices.SortFunc(changed, func(a, b *listed) int {
		return cmp.Or(cmp.Compare(a.created(), b.created()), strings.Compare(a.run.ID, b.run.ID))
	})
	for _, run := range changed {
		if err := w.change(m, run); err != nil {
			return err
		}
	}
	for id := range m.known {
		if run := l.runs[id]; run == nil || !w.matches.Match(&run.entry) {
			if err := w.remove(m, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// change sends one experiment that is new or another.
func (w *watch) change(m *member, run *listed) error {
	known := m.known[run.run.ID]
	m.known[run.run.ID] = run
	out := &runicornapiv1.WatchExperimentsResponse{Viewer: m.viewer.Name}
	switch {
	case known == nil:
		out.Event = &runicornapiv1.WatchExperimentsResponse_Created{Created: run.experiment}
	case known.experiment.GetEtag() != run.experiment.GetEtag():
		out.Event = &runicornapiv1.WatchExperimentsResponse_Updated{Updated: run.experiment}
	default:
		return nil
	}
	return w.send(out)
}

// remove says that an experiment is gone, or no longer matches.
func (w *watch) remove(m *member, runID string) error {
	delete(m.known, runID)
	return w.send(&runicornapiv1.WatchExperimentsResponse{Viewer: m.viewer.Name, Event: &runicornapiv1.WatchExperimentsResponse_Deleted{
		Deleted: &runicornapiv1.DeletedReference{
			Viewer: m.viewer.Name, RunId: validText(runID), ResourceName: validText(resourceName(m.viewer.Name, runID)),
		},
	}})
}

// replace takes in the Viewers that are new, and removes the experiments of
// those that are gone.
func (w *watch) replace(ctx context.Context) error {
	gone, err := w.enroll(ctx)
	if err != nil {
		return err
	}
	for _, m := range gone {
		for id := range m.known {
			if err := w.remove(m, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// sync ends the snapshot when all Viewers have answered, or have had their time.
// Who watches one Viewer, or all of which none answers, gets the error.
func (w *watch) sync(ctx context.Context) error {
	isLate := !time.Now().Before(w.deadline)
	var errs []error
	synced := &runicornapiv1.Synced{}
	for _, m := range w.members {
		err := m.failed
		if !m.isSynced && err == nil {
			if !isLate {
				return nil
			}
			err = tooSlow(ctx, m.viewer.Name, context.DeadlineExceeded)
		}
		if !m.isSynced {
			errs = append(errs, err)
			synced.Unreachable = append(synced.Unreachable, &runicornapiv1.UnreachableViewer{
				Viewer: m.viewer.Name, Error: statusOf(ctx, err).Proto(),
			})
		}
		synced.ExperimentCount += clamp32(int64(len(m.known)))
	}
	switch {
	case len(errs) > 0 && w.viewer != allViewers:
		return errs[0]
	case len(errs) > 0 && len(errs) == len(w.members):
		return noneAnswered(ctx, errs)
	}
	w.isSynced = true
	return w.send(&runicornapiv1.WatchExperimentsResponse{Event: &runicornapiv1.WatchExperimentsResponse_Synced{Synced: synced}})
}

// heartbeat says how fresh the watch is.
func (w *watch) heartbeat(ctx context.Context) error {
	var p pulse
	known := 0
	for _, m := range w.members {
		h := m.health()
		p.take(&h)
		known += len(m.known)
	}
	h := p.message(ctx)
	return w.send(&runicornapiv1.WatchExperimentsResponse{Event: &runicornapiv1.WatchExperimentsResponse_Heartbeat{
		Heartbeat: &runicornapiv1.WatchHeartbeat{
			LastSuccessTime: h.GetLastSuccessTime(), UpstreamState: h.GetUpstreamState(), LastError: h.GetLastError(),
			PollInterval: h.GetPollInterval(), ExperimentCount: clamp32(int64(known)),
		},
	}})
}

// send sends a message, and notes that the stream was not silent.
func (w *watch) send(m *runicornapiv1.WatchExperimentsResponse) error {
	w.due = time.Now().Add(w.every)
	return w.stream.Send(m)
}
