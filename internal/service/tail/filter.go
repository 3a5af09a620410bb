package tail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// tailFilter chooses the runs of a tail by filter. At most maxTailRuns are
// followed, those that run before those that have ended, and newer ones first.
//
// A run that has ended stays in the stream and in the token: it is not
// sent again when the stream is resumed. Only if a running one finds no room,
// the oldest that has ended is evicted. Of those evicted, the token remembers when
// the newest was created: if a run that is as old runs again, its points may have
// been delivered, so that it begins with a reset.
type tailFilter struct {
	*subscription
	matcher        *filter.Filter[*runs.Entry]
	hash           string // of the filter, as the token has it
	fromNow        bool
	baseline       map[string]int64 // of each Viewer, when its newest run of then was created
	evictedThrough int64
	// notFollowed counts the runs that match and are not followed.
	notFollowed        int32
	runningNotFollowed bool // one of them runs
}

// filterHash stands for a filter in a token.
func filterHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:8])
}

// startFilter begins a tail by filter, or resumes one.
func (t *tail) startFilter(ctx context.Context, token *tailToken) (err error) {
	f := &tailFilter{hash: filterHash(t.req.GetFilter()), fromNow: token.fromNow, baseline: token.baseline, evictedThrough: token.evictedThrough}
	viewer := token.viewer
	if !token.hasFilter {
		viewer, f.fromNow = t.req.GetViewer(), t.fromNow()
	}
	if f.matcher, err = runs.NewMatcher(t.req.GetFilter()); err != nil {
		return err
	}
	if fleet.SameParent(token.viewer, token.viewer) {
		if viewer, err = t.resolveSavedViewer(ctx, token); err != nil {
			return err
		}
		if baseline, ok := f.baseline[token.viewer]; ok {
			f.baseline[viewer] = baseline
		}
	}
	f.subscription = newSubscription(t.service, viewer)
	t.filter = f
	if len(token.runs) > 0 {
		if err := t.resume(ctx, token); err != nil {
			return err
		}
	}
	for _, r := range t.runs { // they go on when a list says that they run again
		if r.state.phase == runResting {
			r.state.on(eventEnd)
		}
	}
	_, err = f.sync(ctx)
	return err
}

// listChanged is signalled when a list was polled.
func (f *tailFilter) listChanged() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.wake
}

// viewersChanged is closed when the set of Viewers changes.
func (f *tailFilter) viewersChanged() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.changed
}

// fillToken adds what a token must know of the filter.
func (f *tailFilter) fillToken(token *tailToken) {
	token.hasFilter, token.filter, token.viewer = true, f.hash, f.viewer
	token.fromNow, token.evictedThrough = f.fromNow, f.evictedThrough
	if f.fromNow {
		token.baseline = f.baseline
	}
}

// addHealth adds the health of the lists: where no run is followed it is all there
// is, else what is wrong counts.
func (f *tailFilter) addHealth(summary *healthSummary, isAll bool) {
	for _, m := range f.subs {
		if h := m.health(); isAll || h.State == follow.UpstreamFailing || h.State == follow.UpstreamRateLimited {
			h.BehindBytes = 0
			summary.add(&h)
		}
	}
}

// isFinished says that no further run is to be followed.
func (f *tailFilter) isFinished(t *tail) bool {
	if t.until == follow.Forever || f.runningNotFollowed {
		return false
	}
	return !slices.ContainsFunc(f.subs, func(m *viewerSubscription) bool { return !m.synced })
}

// followNewRuns reads the list snapshots and follows the runs that are new in them.
func (f *tailFilter) followNewRuns(t *tail) {
	var wanted []*listedRun
	for _, m := range f.subs {
		last, _ := m.state()
		if last == nil {
			continue
		}
		m.synced = true
		f.recordBaseline(m.viewer.Name, last)
		for _, run := range last.runs {
			if f.matcher.Match(&run.Entry) && !t.resumeTailed(run, last.at) {
				wanted = append(wanted, run)
			}
		}
	}
	slices.SortFunc(wanted, byPriority)
	f.notFollowed, f.runningNotFollowed = 0, false
	for _, run := range wanted {
		if !f.follow(t, run) {
			f.notFollowed++
			f.runningNotFollowed = f.runningNotFollowed || run.isRunning()
		}
	}
}

// recordBaseline remembers how new the newest run is when a Viewer's list is seen first.
func (f *tailFilter) recordBaseline(viewer string, l *listSnapshot) {
	if _, ok := f.baseline[viewer]; ok || !f.fromNow {
		return
	}
	var newest int64
	for _, run := range l.runs {
		newest = max(newest, run.createdMicros())
	}
	if f.baseline == nil {
		f.baseline = map[string]int64{}
	}
	f.baseline[viewer] = newest
}

// createdMicros is when the run was created, in microseconds; 0 if that is unknown.
func (l *listedRun) createdMicros() int64 {
	if l.Run.CreatedTime.IsZero() {
		return 0
	}
	return max(l.Run.CreatedTime.UnixMicro(), 0)
}

func (l *listedRun) isRunning() bool { return !runsource.IsTerminal(l.Run.Status) }

// byPriority orders those that run before the others, and newer ones first.
func byPriority(a, b *listedRun) int {
	if a.isRunning() != b.isRunning() {
		if a.isRunning() {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.createdMicros(), a.createdMicros()), strings.Compare(a.Run.ID, b.Run.ID))
}

// resumeTailed reports whether a run is one of the stream. One that has ended is opened again
// where it was left, if a list that is newer than its end says that it runs.
func (t *tail) resumeTailed(run *listedRun, listedAt time.Time) bool {
	r := t.findTailed(run)
	if r == nil {
		return false
	}
	r.createdMicros = run.createdMicros()
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
// session has ended goes on in another session of the same Viewer.
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

// follow adds a run to the stream, if there is room for it.
func (f *tailFilter) follow(t *tail, run *listedRun) bool {
	maybeSent := run.createdMicros() <= f.evictedThrough && f.evictedThrough > 0
	if maybeSent && !run.isRunning() {
		return false
	}
	r := &tailedRun{Run: run.Target(), at: f.startPosition(run), createdMicros: run.createdMicros()}
	if maybeSent {
		r.state.phase = runPartial
	}
	for !t.canFollow(r) {
		if !run.isRunning() || !f.evict(t) {
			return false
		}
	}
	t.runs = append(t.runs, r)
	return true
}

// startPosition is where a run is followed from: of a stream that wants what comes from
// now on, a run that began later is wanted as a whole.
func (f *tailFilter) startPosition(run *listedRun) runsource.Position {
	if f.fromNow && run.createdMicros() <= f.baseline[run.Viewer.Name] {
		return runsource.Now()
	}
	return runsource.Beginning()
}

// canFollow says whether one more run fits into the stream and its token.
func (t *tail) canFollow(r *tailedRun) bool {
	if len(t.runs) >= maxTailRuns {
		return false
	}
	token := t.token()
	token.runs = append(token.runs, tailRun{viewer: r.Name, runID: r.RunID, at: r.at})
	return token.fits()
}

// evict removes the oldest run that has ended to make room for another one.
func (f *tailFilter) evict(t *tail) bool {
	oldest := -1
	for i, r := range t.runs {
		if r.state.isDone() && (oldest < 0 || r.createdMicros < t.runs[oldest].createdMicros) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	f.evictedThrough = max(f.evictedThrough, t.runs[oldest].createdMicros)
	t.runs = slices.Delete(t.runs, oldest, oldest+1)
	return true
}
