package tail

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// tailFilter decides which runs a tail by filter follows next. It owns the lists; the
// tail owns the followed runs. The tail gets the next run by next, and reports it by
// started.
//
// Runs start in the order of (create time, viewer, run id) as slots become free. For each
// Viewer, the token has a watermark: the last run that was started there. A run before
// the watermark that appears later in this stream has not been delivered, and waits like
// the others. In a resumed stream, runs before the watermark that have ended are assumed
// to be delivered. If there are more of them than were delivered, the difference is
// reported.
type tailFilter struct {
	*subscription
	matcher  *filter.Filter[*runs.Entry]
	late     *lateFields
	hash     string // of the filter, as the token has it
	fromNow  bool
	progress map[string]*viewerProgress // by name of the Viewer
	waiting  []*listedRun               // match and have no slot yet, in their order
	// unresolved are runs of the token whose ids are hashed, until a list has the id.
	unresolved []tailRun
}

// viewerProgress is how far the runs of a Viewer have been started.
type viewerProgress struct {
	baseline int64 // create time of its newest run at the start of the stream, in microseconds
	// watermark is the last run that was started, and resumed is that of the token.
	watermark, resumed runMark
	// delivered is the number of runs that have ended and are no longer in the token.
	// done holds those of this stream, by id, with the time of their end.
	delivered int64
	done      map[string]time.Time
	late      int64 // runs before the watermark that have ended but may not have been delivered
}

// runMark is a position in the order of one Viewer's runs; the zero runMark is before
// all.
type runMark struct {
	createdMicros int64
	runID         string
}

func (m runMark) compare(o runMark) int {
	return cmp.Or(cmp.Compare(m.createdMicros, o.createdMicros), strings.Compare(m.runID, o.runID))
}

// mark returns the position of a run in the order.
func (l *listedRun) mark() runMark { return runMark{l.createdMicros(), l.Run.ID} }

// createdMicros returns the create time of the run in microseconds; 0 if unknown.
func (l *listedRun) createdMicros() int64 {
	if l.Run.CreatedTime.IsZero() {
		return 0
	}
	return max(l.Run.CreatedTime.UnixMicro(), 0)
}

func (l *listedRun) isRunning() bool { return !runsource.IsTerminal(l.Run.Status) }

// filterHash represents a filter in a token.
func filterHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return string(sum[:8])
}

// runIDHash represents a run's id in a token that has no space for the id.
func runIDHash(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return binary.BigEndian.Uint64(sum[:])
}

// startFilter starts or resumes a tail by filter.
func (t *tail) startFilter(ctx context.Context, token *tailToken) (err error) {
	f := &tailFilter{hash: filterHash(t.req.GetFilter()), fromNow: token.fromNow, progress: map[string]*viewerProgress{}}
	for name, saved := range token.progress {
		f.progress[name] = &viewerProgress{baseline: saved.baseline, watermark: saved.watermark, resumed: saved.watermark, delivered: saved.delivered}
	}
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
	}
	f.subscription, f.late = newSubscription(t.service, viewer), t.service.newLateFields(f.matcher, nil)
	t.filter = f
	token.runs = slices.DeleteFunc(token.runs, func(r tailRun) bool {
		if r.runID == "" {
			f.unresolved = append(f.unresolved, r)
		}
		return r.runID == ""
	})
	if len(token.runs) > 0 {
		if err := t.resume(ctx, token); err != nil {
			return err
		}
	}
	for _, r := range t.runs { // they continue when a list reports that they are running again
		if r.state.phase == runResting {
			r.state.on(eventEnd)
		}
	}
	_, err = f.sync(ctx)
	return err
}

// listChanged returns a channel that is signalled after each poll of a list.
func (f *tailFilter) listChanged() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.wake
}

// viewersChanged returns a channel that is closed when the set of Viewers changes.
func (f *tailFilter) viewersChanged() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.changed
}

// fillToken adds the state of the filter to a token.
func (f *tailFilter) fillToken(token *tailToken) {
	token.hasFilter, token.filter, token.viewer, token.fromNow = true, f.hash, f.viewer, f.fromNow
	token.runs = append(token.runs, f.unresolved...)
	token.progress = make(map[string]savedProgress, len(f.progress))
	for name, p := range f.progress {
		token.progress[name] = savedProgress{baseline: p.baseline, watermark: p.watermark, delivered: p.delivered}
	}
}

// addHealth adds the health of the lists. If no run is followed, it is the health of the
// stream; otherwise only failures are added.
func (f *tailFilter) addHealth(summary *healthSummary, isAll bool) {
	for _, m := range f.subs {
		if h := m.health(); isAll || h.State == follow.UpstreamFailing || h.State == follow.UpstreamRateLimited {
			h.BehindBytes = 0
			summary.add(&h)
		}
	}
}

// lateCount returns the number of runs that may not have been delivered.
func (f *tailFilter) lateCount() (n int64) {
	for _, p := range f.progress {
		n += p.late
	}
	return n
}

// notFollowed returns the number of runs that match and are not followed.
func (f *tailFilter) notFollowed() int64 { return int64(len(f.waiting)) + f.lateCount() }

// isFinished reports whether no further run is to be followed.
func (f *tailFilter) isFinished() bool {
	return len(f.waiting)+len(f.unresolved) == 0 && !slices.ContainsFunc(f.subs, func(m *viewerSubscription) bool { return !m.synced })
}

// of returns the progress of a Viewer. The next session of the same Viewer takes over
// that of a session that has ended.
func (f *tailFilter) of(viewer string) *viewerProgress {
	if p, ok := f.progress[viewer]; ok {
		return p
	}
	for _, name := range slices.Sorted(maps.Keys(f.progress)) {
		isThere := slices.ContainsFunc(f.subs, func(m *viewerSubscription) bool { return m.viewer.Name == name })
		if !isThere && fleet.SameParent(name, viewer) {
			f.progress[viewer] = f.progress[name]
			delete(f.progress, name)
			return f.progress[viewer]
		}
	}
	f.progress[viewer] = &viewerProgress{}
	return f.progress[viewer]
}

// readLists finds the runs to follow in the current lists. For each run that matches, it
// asks the tail whether the run is in the stream.
func (f *tailFilter) readLists(ctx context.Context, inStream func(run *listedRun, listedAt time.Time) bool) error {
	f.waiting = f.waiting[:0]
	for _, m := range f.subs {
		last, _ := m.state()
		if last == nil {
			continue
		}
		// The first list determines what was already delivered, so it is awaited.
		p := f.of(m.viewer.Name)
		var wait time.Duration
		if p.done == nil && p.resumed != (runMark{}) {
			wait = firstMessageTimeout
		}
		known, pending, err := f.late.add(ctx, m, last, wait)
		if err != nil {
			return err
		}
		f.readList(m, last, known, inStream)
		m.synced = pending == 0
	}
	slices.SortFunc(f.waiting, f.compare)
	return nil
}

// readList is readLists for one Viewer. Known are the runs of its list that the filter
// can decide.
func (f *tailFilter) readList(m *viewerSubscription, l, known *listSnapshot, inStream func(run *listedRun, listedAt time.Time) bool) {
	p := f.of(m.viewer.Name)
	isFirst := p.done == nil
	if isFirst {
		p.done = map[string]time.Time{}
		p.setBaseline(l, f.fromNow)
	}
	assumed := int64(0)
	for id, run := range known.runs {
		if !f.matcher.Match(&run.Entry) || inStream(run, l.at) {
			continue
		}
		endedAt, isDone := p.done[id]
		switch {
		case isDone && (!run.isRunning() || !l.at.After(endedAt)): // delivered
		case isFirst && !isDone && !run.isRunning() && run.mark().compare(p.resumed) <= 0:
			p.done[id] = l.at
			assumed++
		default:
			f.waiting = append(f.waiting, run)
		}
	}
	if isFirst {
		p.late = max(assumed-p.delivered, 0)
	}
	p.prune(l)
}

// prune limits done to the runs in the list. A run that is dropped may appear again, and
// then begins with a reset.
func (p *viewerProgress) prune(l *listSnapshot) {
	if len(p.done) <= 2*len(l.runs)+maxTailRuns {
		return
	}
	p.resumed = p.watermark
	maps.DeleteFunc(p.done, func(id string, _ time.Time) bool { return l.runs[id] == nil })
}

// setBaseline records the newest run of a Viewer's first list.
func (p *viewerProgress) setBaseline(l *listSnapshot, fromNow bool) {
	if !fromNow || p.baseline > 0 {
		return
	}
	for _, run := range l.runs {
		p.baseline = max(p.baseline, run.createdMicros())
	}
}

// compare orders the waiting runs. Runs from which nothing is wanted, because they had
// ended before a stream from now on began, come last so that they do not delay others.
func (f *tailFilter) compare(a, b *listedRun) int {
	if f.fromNow && f.isOver(a) != f.isOver(b) {
		if f.isOver(a) {
			return 1
		}
		return -1
	}
	return cmp.Or(cmp.Compare(a.createdMicros(), b.createdMicros()), strings.Compare(a.Viewer.Name, b.Viewer.Name), strings.Compare(a.Run.ID, b.Run.ID))
}

func (f *tailFilter) isOver(run *listedRun) bool { return !run.isRunning() && f.isOld(run) }

// isOld reports whether a run existed when a stream from now on began.
func (f *tailFilter) isOld(run *listedRun) bool {
	return f.fromNow && run.createdMicros() <= f.of(run.Viewer.Name).baseline
}

// next returns the run to follow next, nil if there is none. If the client may already
// have data of the run, a reset will be sent first.
func (f *tailFilter) next() *tailedRun {
	if len(f.waiting) == 0 {
		return nil
	}
	run, p := f.waiting[0], f.of(f.waiting[0].Viewer.Name)
	r := &tailedRun{Run: run.Target(), at: runsource.Beginning(), created: run.mark()}
	if f.isOld(run) {
		r.at = runsource.Now()
	}
	if _, isDone := p.done[run.Run.ID]; isDone || run.mark().compare(p.resumed) <= 0 {
		r.state.phase = runPartial
	}
	return r
}

// started records that the tail follows the run that next has returned.
func (f *tailFilter) started(r *tailedRun) {
	f.waiting = f.waiting[1:]
	p := f.of(r.Name)
	if r.created.compare(p.watermark) > 0 {
		p.watermark = r.created
	}
	if _, isDone := p.done[r.RunID]; isDone {
		delete(p.done, r.RunID)
		p.delivered--
	}
}

// left records that a run that has ended is no longer in the stream.
func (f *tailFilter) left(r *tailedRun) {
	p := f.of(r.Name)
	p.delivered++
	if p.done != nil {
		p.done[r.RunID] = r.endedAt
	}
}

// resolve calls found for the runs of the token whose ids are now known from the lists.
// Runs that no list has are dropped.
func (f *tailFilter) resolve(found func(saved *tailRun, run *listedRun)) {
	for _, m := range f.subs {
		last, _ := m.state()
		if last == nil || len(f.unresolved) == 0 {
			continue
		}
		byHash := make(map[uint64]*listedRun, len(last.runs))
		for id, run := range last.runs {
			byHash[runIDHash(id)] = run
		}
		f.unresolved = slices.DeleteFunc(f.unresolved, func(r tailRun) bool {
			if !isSameViewer(r.viewer, m.viewer.Name) {
				return false
			}
			run := byHash[r.idHash]
			if run != nil {
				found(&r, run)
			}
			return run != nil || r.viewer == m.viewer.Name
		})
	}
}
