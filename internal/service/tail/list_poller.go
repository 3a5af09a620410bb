package tail

import (
	"context"
	"slices"
	"sync"
	"time"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/source"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	// minListInterval is the minimum interval between two polls of a Viewer's list.
	// listCostFactor is the minimum interval as a multiple of the duration of a poll: a
	// Viewer with thousands of runs needs a second of its only thread for one.
	minListInterval = time.Second
	listCostFactor  = 10
	// maxListBackoff is the maximum interval after polls that failed.
	maxListBackoff = 10 * time.Second
)

// listPollers polls the lists of runs for all streams that watch them, with one poller
// for each watched Viewer. It stops when its last watcher leaves.
type listPollers struct {
	mu      sync.Mutex // guards pollers and the watchers in it
	pollers map[*fleet.Viewer]*listPoller
}

// listSnapshot is the content of a list at one time. It is immutable and shared.
type listSnapshot struct {
	at   time.Time
	runs map[string]*listedRun
}

// listedRun is one run of a listSnapshot. Snapshots share it until the run changes.
type listedRun struct {
	runs.Entry
	experiment *runicornapiv1.Experiment
	base       *listedRun // the shared run of which this is a stream's copy; nil if this is the shared one
}

// listPoller polls the list of one Viewer and holds the result.
type listPoller struct {
	viewer *fleet.Viewer
	users  int
	stop   context.CancelFunc
	done   chan struct{}

	mu          sync.Mutex // guards the fields below
	wake        []chan struct{}
	last        *listSnapshot // nil before the first
	err         error         // of the last poll
	lastSuccess time.Time
	interval    time.Duration
}

// join returns the poller of a Viewer; wake is signalled after every poll. The caller
// must leave it.
func (l *listPollers) join(v *fleet.Viewer, wake chan struct{}) *listPoller {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, ok := l.pollers[v]
	if !ok {
		ctx, stop := context.WithCancel(context.Background())
		p = &listPoller{viewer: v, stop: stop, done: make(chan struct{}), interval: minListInterval}
		if l.pollers == nil {
			l.pollers = make(map[*fleet.Viewer]*listPoller)
		}
		l.pollers[v] = p
		go p.run(ctx)
	}
	p.users++
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wake = append(p.wake, wake)
	return p
}

// leave ends the use of a poller.
func (l *listPollers) leave(p *listPoller, wake chan struct{}) {
	p.mu.Lock()
	if i := slices.Index(p.wake, wake); i >= 0 {
		p.wake = slices.Delete(p.wake, i, i+1)
	}
	p.mu.Unlock()
	l.mu.Lock()
	p.users--
	unused := p.users == 0
	if unused {
		delete(l.pollers, p.viewer) // the next caller of join gets a new one
	}
	l.mu.Unlock()
	if unused {
		p.stop()
		<-p.done
	}
}

// run polls until the last watcher has left.
func (p *listPoller) run(ctx context.Context) {
	defer close(p.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(p.poll(ctx))
	}
}

// poll reads the list within the Viewer's poll budget, and returns the delay until the
// next poll.
func (p *listPoller) poll(ctx context.Context) time.Duration {
	var list *restclient.RunList
	err := p.viewer.Client.Background(ctx, "list", func(ctx context.Context) (err error) {
		list, err = p.viewer.Client.Runs(ctx)
		return err
	})
	if ctx.Err() != nil {
		return minListInterval
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
	if err != nil {
		_, retryAfter := source.ClassifyError(err)
		p.interval = max(min(2*p.interval, maxListBackoff), retryAfter)
	} else {
		p.interval = max(minListInterval, listCostFactor*list.Cost)
		p.lastSuccess = list.At
		p.last = newListSnapshot(p.viewer, list, p.last)
	}
	for _, wake := range p.wake {
		select {
		case wake <- struct{}{}:
		default: // the last signal is still pending
		}
	}
	return p.interval
}

// newListSnapshot converts a list, and reuses the unchanged runs of the last snapshot.
func newListSnapshot(v *fleet.Viewer, list *restclient.RunList, last *listSnapshot) *listSnapshot {
	l := &listSnapshot{at: list.At, runs: make(map[string]*listedRun, len(list.Runs))}
	for i := range list.Runs {
		run := &list.Runs[i]
		e := &listedRun{Entry: runs.NewEntry(v, run, list.Lossy)}
		e.experiment = e.Experiment()
		if last != nil {
			if old := last.runs[run.ID]; old != nil && old.experiment.GetEtag() == e.experiment.GetEtag() {
				e = old
			}
		}
		l.runs[run.ID] = e
	}
	return l
}

// state returns the newest snapshot, and the error of the last poll.
func (p *listPoller) state() (last *listSnapshot, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last, p.err
}

// health returns the health of the list in the form of a followed run's.
func (p *listPoller) health() follow.Health {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := follow.Health{LastSuccess: p.lastSuccess, LastError: p.err, PollInterval: p.interval, BehindBytes: -1}
	switch {
	case p.err != nil:
		h.State, _ = source.ClassifyError(p.err)
	case p.last != nil:
		h.State = follow.UpstreamOK
	}
	return h
}

// subscription is the Viewers whose lists one stream watches. Only the stream's goroutine
// uses it.
type subscription struct {
	service *Service
	viewer  string        // of the request: a name, or target.AllViewers
	wake    chan struct{} // signalled after every poll of any of them
	subs    []*viewerSubscription
	changed <-chan struct{} // closed when the set of Viewers changes
}

// viewerSubscription is one Viewer of a subscription.
type viewerSubscription struct {
	*listPoller
	// sent are the runs that the client has, by id.
	sent map[string]*listedRun
	// synced is set when its first list was processed; syncErr is why it could not be.
	synced  bool
	syncErr error
}

func newSubscription(service *Service, viewer string) *subscription {
	return &subscription{service: service, viewer: viewer, wake: make(chan struct{}, 1)}
}

// sync joins the current Viewers, and returns those that were removed.
func (s *subscription) sync(ctx context.Context) (gone []*viewerSubscription, err error) {
	if s.viewer == target.AllViewers {
		s.changed = s.service.config.Fleet.Changed() // before the Viewers are read, so that no change is missed
	}
	viewers, err := s.service.resolver.Viewers(ctx, s.viewer)
	if err != nil {
		return nil, err
	}
	s.subs = slices.DeleteFunc(s.subs, func(m *viewerSubscription) bool {
		if slices.Contains(viewers, m.viewer) {
			return false
		}
		s.service.listPollers.leave(m.listPoller, s.wake)
		gone = append(gone, m)
		return true
	})
	for _, v := range viewers {
		if !slices.ContainsFunc(s.subs, func(m *viewerSubscription) bool { return m.viewer == v }) {
			s.subs = append(s.subs, &viewerSubscription{listPoller: s.service.listPollers.join(v, s.wake), sent: map[string]*listedRun{}})
		}
	}
	return gone, nil
}

// close leaves all Viewers.
func (s *subscription) close() {
	for _, m := range s.subs {
		s.service.listPollers.leave(m.listPoller, s.wake)
	}
	s.subs = nil
}
