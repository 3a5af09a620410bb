package service

import (
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

// tailFilter chooses the runs of a tail by filter. At most maxTailRuns are
// followed, those that run before those that have ended, and newer ones first.
//
// A run that has ended keeps its place, and so stays in the token: it is not
// sent again when the stream is resumed. Only if a running one finds no place,
// the oldest that has ended goes. Of those that went, the token remembers when
// the newest was created: if a run that is as old runs again, its points may have
// been delivered, so that it begins with a reset.
type tailFilter struct {
	*roster
	matches *filter.Filter[*entry]
	hash    string // of the filter, as the token has it
	isNow   bool
	began   map[string]int64 // of each Viewer, when its newest run of then was created
	forgot  int64
	// notFollowed counts the runs that match and have no place.
	notFollowed int32
	isWaiting   bool // one of them runs
}

// filterHash stands for a filter in a token.
func filterHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:8])
}

// beginFilter begins a tail by filter, or resumes one.
func (t *tail) beginFilter(ctx context.Context, token *tailToken) (err error) {
	f := &tailFilter{hash: filterHash(t.req.GetFilter()), isNow: token.isNow, began: token.began, forgot: token.forgot}
	viewer := token.viewer
	if !token.hasFilter {
		viewer, f.isNow = t.req.GetViewer(), t.isNow()
	}
	if f.matches, err = newMatcher(t.req.GetFilter()); err != nil {
		return err
	}
	if fleet.SameHolder(token.viewer, token.viewer) {
		if viewer, err = t.resumeOn(ctx, token); err != nil {
			return err
		}
		if began, ok := f.began[token.viewer]; ok {
			f.began[viewer] = began
		}
	}
	f.roster = newRoster(t.Deps, viewer)
	t.filter = f
	if len(token.runs) > 0 {
		if err := t.resume(ctx, token); err != nil {
			return err
		}
	}
	for _, r := range t.runs { // they go on when a list says that they run again
		r.isDone = r.isEnded()
	}
	_, err = f.enroll(ctx)
	return err
}

// looked is woken when a list was looked at.
func (f *tailFilter) looked() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.wake
}

// others is closed when there are other Viewers.
func (f *tailFilter) others() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.changed
}

// describe adds what a token must know of the filter.
func (f *tailFilter) describe(token *tailToken) {
	token.hasFilter, token.filter, token.viewer = true, f.hash, f.viewer
	token.isNow, token.forgot = f.isNow, f.forgot
	if f.isNow {
		token.began = f.began
	}
}

// pulse adds the health of the lists: where no run is followed it is all there
// is, else what is wrong counts.
func (f *tailFilter) pulse(p *pulse, isAll bool) {
	for _, m := range f.members {
		if h := m.health(); isAll || h.State == runlog.UpstreamFailing || h.State == runlog.UpstreamRateLimited {
			h.BehindBytes = 0
			p.take(&h)
		}
	}
}

// isOver says that no further run is to be followed.
func (f *tailFilter) isOver(t *tail) bool {
	if t.until == runlog.Forever || f.isWaiting {
		return false
	}
	return !slices.ContainsFunc(f.members, func(m *member) bool { return !m.isSynced })
}

// choose looks at the lists and follows what is new in them.
func (f *tailFilter) choose(t *tail) {
	var wanted []*listed
	for _, m := range f.members {
		last, _ := m.state()
		if last == nil {
			continue
		}
		m.isSynced = true
		f.note(m.viewer.Name, last)
		for _, run := range last.runs {
			if f.matches.Match(&run.entry) && !t.isTailed(run, last.at) {
				wanted = append(wanted, run)
			}
		}
	}
	slices.SortFunc(wanted, byUrgency)
	f.notFollowed, f.isWaiting = 0, false
	for _, run := range wanted {
		if !f.follow(t, run) {
			f.notFollowed++
			f.isWaiting = f.isWaiting || run.isRunning()
		}
	}
}

// note remembers how new the newest run is when a Viewer's list is seen first.
func (f *tailFilter) note(viewer string, l *listing) {
	if _, ok := f.began[viewer]; ok || !f.isNow {
		return
	}
	var newest int64
	for _, run := range l.runs {
		newest = max(newest, run.created())
	}
	if f.began == nil {
		f.began = map[string]int64{}
	}
	f.began[viewer] = newest
}

// created is when the run was created, in microseconds; 0 if that is unknown.
func (l *listed) created() int64 {
	if l.run.CreatedTime.IsZero() {
		return 0
	}
	return max(l.run.CreatedTime.UnixMicro(), 0)
}

func (l *listed) isRunning() bool { return !isTerminal(l.run.Status) }

// byUrgency orders those that run before the others, and newer ones first.
func byUrgency(a, b *listed) int {
	if a.isRunning() != b.isRunning() {
		if a.isRunning() {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(b.created(), a.created()), strings.Compare(a.run.ID, b.run.ID))
}

// isTailed says whether a run has its place. One that has ended is opened again
// where it was left, if a list that is newer than its end says that it runs.
func (t *tail) isTailed(run *listed, seen time.Time) bool {
	r := t.placed(run)
	if r == nil {
		return false
	}
	r.created = run.created()
	if r.isAway {
		r.target, r.isAway = run.target(), false
	}
	if r.isDone && run.isRunning() && seen.After(r.doneAt) {
		r.isDone, r.isLost, r.marks = false, false, r.marks&^markEnded
	}
	return true
}

// placed is the run of a list in the stream; nil if it has no place. One whose
// session has ended goes on in another session of the same Viewer.
func (t *tail) placed(run *listed) (away *tailedRun) {
	for _, r := range t.runs {
		switch {
		case r.runID != run.run.ID:
		case r.Name == run.viewer.Name:
			return r
		case r.isAway && away == nil && fleet.SameHolder(r.Name, run.viewer.Name):
			away = r
		}
	}
	return away
}

// follow gives a run a place, if there is one for it.
func (f *tailFilter) follow(t *tail, run *listed) bool {
	isOld := run.created() <= f.forgot && f.forgot > 0
	if isOld && !run.isRunning() {
		return false
	}
	r := &tailedRun{target: run.target(), at: f.start(run), created: run.created(), mustVoid: isOld}
	for !t.hasRoom(r) {
		if !run.isRunning() || !f.evict(t) {
			return false
		}
	}
	t.runs = append(t.runs, r)
	return true
}

// start is where a run is followed from: of a stream that wants what comes from
// now on, a run that began later is wanted as a whole.
func (f *tailFilter) start(run *listed) runlog.Position {
	if f.isNow && run.created() <= f.began[run.viewer.Name] {
		return runlog.Now()
	}
	return runlog.Beginning()
}

// hasRoom says whether one more run fits into the stream and its token.
func (t *tail) hasRoom(r *tailedRun) bool {
	if len(t.runs) >= maxTailRuns {
		return false
	}
	token := t.token()
	token.runs = append(token.runs, tailRun{viewer: r.Name, runID: r.runID, at: r.at})
	return token.fits()
}

// evict gives the place of the oldest run that has ended to another one.
func (f *tailFilter) evict(t *tail) bool {
	oldest := -1
	for i, r := range t.runs {
		if r.isDone && (oldest < 0 || r.created < t.runs[oldest].created) {
			oldest = i
		}
	}
	if oldest < 0 {
		return false
	}
	f.forgot = max(f.forgot, t.runs[oldest].created)
	t.runs = slices.Delete(t.runs, oldest, oldest+1)
	return true
}
