package service

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runlog"
)

const (
	// listInterval is the least time between two looks at a Viewer's list, and
	// listCosts how many times its cost it is at least: a Viewer of thousands of
	// runs needs a second of its one thread for it.
	listInterval = time.Second
	listCosts    = 10
	// listPatience bounds the wait after looks that failed.
	listPatience = 10 * time.Second
)

// lists polls the lists of runs for all streams that watch them: one poller for
// each Viewer that anybody watches. The last watcher out stops it.
type lists struct {
	mu    sync.Mutex // guards the map, and the users in it
	polls map[*fleet.Viewer]*listPoll
}

// listing is a list at one moment. It is immutable and shared.
type listing struct {
	at   time.Time
	runs map[string]*listed
}

// listed is one run of a listing. As long as it does not change, all listings
// have the same one.
type listed struct {
	entry
	experiment *runicornapiv1.Experiment
}

// listPoll is the poller of one Viewer's list, and what it has found.
type listPoll struct {
	viewer *fleet.Viewer
	users  int
	stop   context.CancelFunc
	done   chan struct{}

	mu       sync.Mutex // guards what follows
	wake     []chan struct{}
	last     *listing // nil before the first
	err      error    // of the last look
	success  time.Time
	interval time.Duration
}

// join returns the poller of a Viewer; wake hears of every look. The caller
// leaves it.
func (l *lists) join(v *fleet.Viewer, wake chan struct{}) *listPoll {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.polls[v]
	if !ok {
		ctx, stop := context.WithCancel(context.Background())
		p = &listPoll{viewer: v, stop: stop, done: make(chan struct{}), interval: listInterval}
		if l.polls == nil {
			l.polls = make(map[*fleet.Viewer]*listPoll)
		}
		l.polls[v] = p
		go p.run(ctx)
	}
	p.users++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = append(p.wake, wake)
	return p
}

// leave gives a poller up.
func (l *lists) leave(p *listPoll, wake chan struct{}) {
	p.mu.Lock()
	if i := slices.Index(p.wake, wake); i >= 0 {
		p.wake = slices.Delete(p.wake, i, i+1)
	}
	p.mu.Unlock()
	l.mu.Lock()
	p.users--
	isLast := p.users == 0
	if isLast {
		delete(l.polls, p.viewer) // who comes now gets another one
	}
	l.mu.Unlock()
	if isLast {
		p.stop()
		<-p.done
	}
}

// run looks until the last watcher has left.
func (p *listPoll) run(ctx context.Context) {
	defer close(p.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(p.look(ctx))
	}
}

// look reads the list within the Viewer's share, and says when to look again.
func (p *listPoll) look(ctx context.Context) time.Duration {
	var list *restclient.RunList
	err := p.viewer.Client.Background(ctx, "list", func(ctx context.Context) (err error) {
		list, err = p.viewer.Client.Runs(ctx)
		return err
	})
	if ctx.Err() != nil {
		return listInterval
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if err != nil {
		_, retryAfter := Judge(err)
		p.interval = max(min(2*p.interval, listPatience), retryAfter)
	} else {
		p.interval = max(listInterval, listCosts*list.Cost)
		p.success = list.At
		p.last = newListing(p.viewer, list, p.last)
	}
	for _, wake := range p.wake {
		select {
		case wake <- struct{}{}:
		default: // it has not looked at the last change yet
		}
	}
	return p.interval
}

// newListing converts a list, and takes from the last listing what has not
// changed.
func newListing(v *fleet.Viewer, list *restclient.RunList, last *listing) *listing {
	l := &listing{at: list.At, runs: make(map[string]*listed, len(list.Runs))}
	for i := range list.Runs {
		run := &list.Runs[i]
		e := &listed{entry: entry{place: placeOf(run), viewer: v, run: run, lossy: list.Lossy}}
		e.experiment = e.entry.experiment()
		if last != nil {
			if old := last.runs[run.ID]; old != nil && old.experiment.GetEtag() == e.experiment.GetEtag() {
				e = old
			}
		}
		l.runs[run.ID] = e
	}
	return l
}

// state is what the poller has found: the newest listing, and the error of the
// last look.
func (p *listPoll) state() (last *listing, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.err
}

// health says how fresh it is, in the words of a followed run.
func (p *listPoll) health() runlog.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := runlog.Health{LastSuccess: p.success, LastError: p.err, PollInterval: p.interval, BehindBytes: -1}
	switch {
	case p.err != nil:
		h.State, _ = Judge(p.err)
	case p.last != nil:
		h.State = runlog.UpstreamOK
	}
	return h
}

// Judge says how a failure of a Viewer is told in heartbeats, and how long the
// Viewer wants to be left alone. It is for runlog.HubConfig.
func Judge(err error) (runlog.UpstreamState, time.Duration) {
	e, ok := errors.AsType[*restclient.Error](err)
	if !ok {
		return runlog.UpstreamFailing, 0
	}
	if e.Kind == restclient.KindRateLimited {
		return runlog.UpstreamRateLimited, e.RetryAfter
	}
	return runlog.UpstreamFailing, e.RetryAfter
}

// roster is the Viewers whose lists one stream watches. It is used by the
// stream's goroutine only.
type roster struct {
	*Deps
	viewer  string        // what the request says: a name, or all
	wake    chan struct{} // hears of every look at any of them
	members []*member
	changed <-chan struct{} // closed when there are other Viewers
}

// member is one Viewer of a roster.
type member struct {
	*listPoll
	// known are the runs that the stream has told of, by id.
	known map[string]*listed
	// isSynced: its first list was looked at; failed is why it was not.
	isSynced bool
	failed   error
}

func newRoster(d *Deps, viewer string) *roster {
	return &roster{Deps: d, viewer: viewer, wake: make(chan struct{}, 1)}
}

// enroll joins the Viewers that there are now, and returns those that are gone.
func (r *roster) enroll(ctx context.Context) (gone []*member, err error) {
	if r.viewer == allViewers {
		r.changed = r.Fleet.Changed() // before the question: nothing may be missed
	}
	viewers, err := r.viewers(ctx, r.viewer)
	if err != nil {
		return nil, err
	}
	r.members = slices.DeleteFunc(r.members, func(m *member) bool {
		if slices.Contains(viewers, m.viewer) {
			return false
		}
		r.lists.leave(m.listPoll, r.wake)
		gone = append(gone, m)
		return true
	})
	for _, v := range viewers {
		if !slices.ContainsFunc(r.members, func(m *member) bool { return m.viewer == v }) {
			r.members = append(r.members, &member{listPoll: r.lists.join(v, r.wake), known: map[string]*listed{}})
		}
	}
	return gone, nil
}

// close leaves all Viewers.
func (r *roster) close() {
	for _, m := range r.members {
		r.lists.leave(m.listPoll, r.wake)
	}
	r.members = nil
}
