package tail

import (
	"context"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// followNewRuns reads the lists of a tail by filter, and follows new runs while there are
// free slots.
func (t *tail) followNewRuns(ctx context.Context) error {
	t.filter.resolve(func(saved *tailRun, run *listedRun) {
		r := &tailedRun{Run: run.Target(), at: saved.at, state: savedState(saved), created: run.mark()}
		if r.state.phase == runResting {
			r.state.on(eventEnd)
		}
		t.runs = append(t.runs, r)
	})
	if err := t.filter.readLists(ctx, t.updateListed); err != nil {
		return err
	}
	t.fillSlots()
	return nil
}

// fillSlots follows waiting runs while there are free slots.
func (t *tail) fillSlots() {
	for r := t.filter.next(); r != nil && t.freeSlot(r); r = t.filter.next() {
		t.filter.started(r)
		t.runs = append(t.runs, r)
	}
}

// updateListed reports whether a run is in the stream. A run that has ended is opened
// again at its position if a list that is newer than the end reports that it is running.
func (t *tail) updateListed(run *listedRun, listedAt time.Time) bool {
	r := t.findTailed(run)
	if r == nil {
		return false
	}
	r.created = run.mark()
	if r.state.detached {
		r.Run = run.Target()
		r.state.on(eventAttached)
	}
	if run.isRunning() && listedAt.After(r.endedAt) {
		r.state.on(eventListed)
	}
	return true
}

// findTailed returns the run of a list in the stream; nil if it is not followed. A run
// whose session has ended continues in another session of the same Viewer.
func (t *tail) findTailed(run *listedRun) (detached *tailedRun) {
	for _, r := range t.runs {
		switch {
		case r.RunID != run.Run.ID:
		case r.Name == run.Viewer.Name:
			return r
		case r.state.detached && detached == nil && fleet.SameParent(r.Name, run.Viewer.Name):
			detached = r
		}
	}
	return detached
}

// freeSlot reports whether one more run fits into the stream and its token. For that it
// removes runs that have ended, the oldest first.
func (t *tail) freeSlot(r *tailedRun) bool {
	for !t.hasSlot(r) {
		oldest := -1
		for i, r := range t.runs {
			if r.state.isDone() && (oldest < 0 || r.created.compare(t.runs[oldest].created) < 0) {
				oldest = i
			}
		}
		if oldest < 0 {
			return false
		}
		t.filter.left(t.runs[oldest])
		t.runs = slices.Delete(t.runs, oldest, oldest+1)
	}
	return true
}

// hasSlot reports whether one more run fits into the stream and its token without
// removing another.
func (t *tail) hasSlot(r *tailedRun) bool {
	if len(t.runs)+len(t.filter.unresolved) >= maxTailRuns {
		return false
	}
	token := t.token()
	if p := token.progress[r.Name]; r.created.compare(p.watermark) > 0 {
		p.watermark = r.created
		token.progress[r.Name] = p
	}
	token.runs = append(token.runs, tailRun{viewer: r.Name, runID: r.RunID, at: r.at})
	return token.fits()
}
