package tail

import (
	"context"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// followNewRuns reads the lists of a tail by filter, and follows the runs that are new in
// them as far as there are places.
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
	t.fillPlaces()
	return nil
}

// fillPlaces follows the runs that wait, as far as there are places.
func (t *tail) fillPlaces() {
	for r := t.filter.next(); r != nil && t.makePlace(r); r = t.filter.next() {
		t.filter.started(r)
		t.runs = append(t.runs, r)
	}
}

// updateListed reports whether a run is one of the stream. One that has ended is opened
// again where it was left, if a list that is newer than its end says that it runs.
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

// findTailed is the run of a list in the stream; nil if it is not followed. One whose
// session has ended continues in another session of the same Viewer.
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

// makePlace says whether one more run fits into the stream and its token. It takes the
// places of runs that have ended, the oldest first.
func (t *tail) makePlace(r *tailedRun) bool {
	for !t.hasPlace(r) {
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

// hasPlace says whether one more run fits into the stream and its token.
func (t *tail) hasPlace(r *tailedRun) bool {
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
