package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/netaddr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

const (
	// getMaxAge is how old the list of tunnels may be for a call to one of them:
	// a port may get another owner as soon as its session has ended.
	getMaxAge = 2 * time.Second
	// busyMaxAge is how old it may be while the Viewer is at work over SSH, and
	// can say nothing.
	busyMaxAge = 2 * time.Minute
	// listMaxAge is how old it may be for a list of all Viewers.
	listMaxAge = 3 * time.Second
	// minInterval is the minimum time between two queries.
	minInterval = 250 * time.Millisecond
	// getTimeout and listTimeout are how long a caller waits for an answer.
	getTimeout  = 10 * time.Second
	listTimeout = 500 * time.Millisecond
)

// validSession is what a session can be called: the Viewers make up eight
// hexadecimal digits.
var validSession = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// EndedError says that a tunneled Viewer is listed, but that its session does
// not work now. 0.7.2 may bring it back.
type EndedError struct {
	// Name is the Viewer's name.
	Name string
	// Status is how its session stands, in the words of the Viewer that holds
	// it.
	Status string
}

// Error tells how the session stands.
func (e *EndedError) Error() string {
	return fmt.Sprintf("viewer %s: its session is %s", e.Name, cmp.Or(e.Status, "not active"))
}

// tunnels is what is known of the remote Viewers behind one configured Viewer.
type tunnels struct {
	fleet  *Fleet
	parent *Viewer
	base   restclient.Config
	ctx    context.Context //nolint:containedctx // of the queries, which outlive their callers
	// unreachableReason says why no tunnel can be reached from here; empty if they can.
	unreachableReason string

	mu    sync.Mutex
	known map[string]tunnel // by session
	// queriedAt is when the last query was sent that has an answer, err the
	// answer if it was none.
	queriedAt time.Time
	err       error
	// version counts Add and Remove: an answer to a query that was sent
	// before one of them is out of date.
	version  int
	inFlight *query
	// crowded: it was logged that sessions are left out.
	crowded bool
}

// tunnel is one session and the Viewer behind it, which is nil if it cannot be
// reached.
type tunnel struct {
	viewer *Viewer
	port   int64
	active bool
	status string
}

// query is a query in flight.
type query struct {
	since time.Time
	done  chan struct{}
}

func newTunnels(ctx context.Context, f *Fleet, parent *Viewer, base restclient.Config) *tunnels {
	t := &tunnels{fleet: f, parent: parent, base: base, ctx: ctx, known: make(map[string]tunnel)}
	if !onLoopback(parent.Client.BaseURL()) {
		t.unreachableReason = fmt.Sprintf("the tunnel listens on the loopback of the machine of viewer %s, which is another one", parent.Name)
	}
	return t
}

// onLoopback reports whether a Viewer runs on this machine, as far as its
// address tells.
func onLoopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	return netaddr.IsLoopback(u.Hostname())
}

// get returns one tunneled Viewer, after a query if need be.
func (t *tunnels) get(ctx context.Context, sessionID string) (*Viewer, error) {
	if t.unreachableReason != "" {
		return nil, t.fleet.unknown(ctx, t.name(sessionID), t.unreachableReason)
	}
	found, age := t.find(sessionID)
	if found.viewer == nil || age > getMaxAge {
		err := t.refresh(ctx, time.Now(), getTimeout)
		if busy := t.parent.Client.Busy() && age <= busyMaxAge; err != nil && (found.viewer == nil || !busy) {
			return nil, fmt.Errorf("ask viewer %s for its remote viewers: %w", t.parent.Name, err)
		}
		found, _ = t.find(sessionID)
	}
	switch {
	case found.viewer == nil:
		return nil, t.fleet.unknown(ctx, t.name(sessionID), "")
	case !found.active:
		return nil, &EndedError{Name: found.viewer.Name, Status: found.status}
	}
	return found.viewer, nil
}

// find looks a session up, and tells how old the knowledge is.
func (t *tunnels) find(sessionID string) (tunnel, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[sessionID], time.Since(t.queriedAt)
}

// refreshIfStale brings the list up to date, if that is to be had soon.
func (t *tunnels) refreshIfStale(ctx context.Context) {
	if t.unreachableReason == "" && t.parent.Away() == nil {
		_ = t.refresh(ctx, time.Now().Add(-listMaxAge), listTimeout) // without an answer, what is known has to do
	}
}

// reachable returns the Viewers that can be called now, in the order of their
// names.
func (t *tunnels) reachable() []*Viewer {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Viewer
	for _, found := range t.known {
		if found.viewer != nil && found.active {
			out = append(out, found.viewer)
		}
	}
	slices.SortFunc(out, func(a, b *Viewer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// refresh waits for the answer to a query that was sent at or after since. One
// that is being asked is shared, continues when its callers have left, and is
// waited for as long as timeout, counted from when it was sent: who comes late
// to a Viewer that says nothing is not held up as well.
func (t *tunnels) refresh(ctx context.Context, since time.Time, timeout time.Duration) error {
	for {
		t.mu.Lock()
		if !t.queriedAt.Before(since) {
			defer t.mu.Unlock()
			return t.err
		}
		if t.inFlight == nil {
			t.start()
		}
		q := t.inFlight
		t.mu.Unlock()
		if err := q.wait(ctx, timeout); err != nil {
			return t.explain(err)
		}
		if t.ctx.Err() != nil {
			return errClosed
		}
	}
}

var (
	errClosed   = errors.New("the fleet is closed")
	errNoAnswer = errors.New("it has not said in time which remote viewers it holds")
)

// explain names the Viewer that said nothing.
func (t *tunnels) explain(err error) error {
	if !errors.Is(err, errNoAnswer) {
		return err
	}
	return &restclient.Error{
		Kind: restclient.KindTimeout, Viewer: t.parent.Name, Capability: restclient.CapSessions, Detail: err.Error(), Err: err,
	}
}

// wait waits for an answer.
func (q *query) wait(ctx context.Context, timeout time.Duration) error {
	timer := time.NewTimer(time.Until(q.since.Add(timeout)))
	defer timer.Stop()
	select {
	case <-q.done:
		return nil
	case <-timer.C:
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start sends a query, at the earliest minInterval after the last one. Called
// with mu held; the goroutine ends with the query, or with the fleet.
func (t *tunnels) start() {
	q := &query{since: time.Now(), done: make(chan struct{})}
	t.inFlight = q
	delay := time.Until(t.queriedAt.Add(minInterval))
	t.fleet.queries.Go(func() {
		defer close(q.done)
		t.runQuery(delay)
	})
}

// runQuery queries, and stores the answer.
func (t *tunnels) runQuery(delay time.Duration) {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
	}
	t.mu.Lock()
	started, version := time.Now(), t.version
	t.mu.Unlock()
	sessions, err := t.parent.Client.Sessions(t.ctx)
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindUnsupported {
		sessions, err = nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight = nil
	if version != t.version && t.ctx.Err() == nil {
		return // whoever waits asks again
	}
	t.queriedAt, t.err = started, err
	if err == nil || isUnreachable(err) {
		t.store(sessions)
	}
}

// isUnreachable reports whether a Viewer is not there any more, and its tunnels with it.
func isUnreachable(err error) bool {
	e, ok := errors.AsType[*restclient.Error](err)
	return ok && e.Kind == restclient.KindUnreachable
}
