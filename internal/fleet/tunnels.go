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
	// getMaxAge is the maximum age of the list of tunnels for a call to one of them: the
	// port may be reused as soon as the session has ended.
	getMaxAge = 2 * time.Second
	// busyMaxAge is the maximum age while the Viewer is handling a call over SSH and cannot
	// answer.
	busyMaxAge = 2 * time.Minute
	// listMaxAge is the maximum age for a list of all Viewers.
	listMaxAge = 3 * time.Second
	// minInterval is the minimum time between two queries.
	minInterval = 250 * time.Millisecond
	// getTimeout and listTimeout are how long a caller waits for an answer.
	getTimeout  = 10 * time.Second
	listTimeout = 500 * time.Millisecond
)

// validSession matches valid session ids. The Viewers use eight hexadecimal digits.
var validSession = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// EndedError reports that a tunneled Viewer is listed but its session is not active. 0.7.2
// may reconnect it.
type EndedError struct {
	// Name is the Viewer's name.
	Name string
	// Status is the session's status as its parent reports it.
	Status string
}

// Error returns the status of the session.
func (e *EndedError) Error() string {
	return fmt.Sprintf("viewer %s: its session is %s", e.Name, cmp.Or(e.Status, "not active"))
}

// tunnels are the known remote Viewers of one configured Viewer.
type tunnels struct {
	fleet  *Fleet
	parent *Viewer
	base   restclient.Config
	ctx    context.Context //nolint:containedctx // of the queries, which outlive their callers
	// unreachableReason is why no tunnel can be reached from here; empty if they can.
	unreachableReason string

	mu    sync.Mutex
	known map[string]tunnel // by session
	// queriedAt is when the last completed query was sent, err its error.
	queriedAt time.Time
	err       error
	// version counts Add and Remove: the answer to a query sent before one of them is
	// outdated.
	version  int
	inFlight *query
	// crowded reports that sessions were left out, and that this was logged.
	crowded bool
}

// tunnel is one session and the Viewer behind it, nil if it cannot be reached.
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

// onLoopback reports whether a Viewer runs on this machine, judging by its address.
func onLoopback(base string) bool {
	u, err := url.Parse(base)
	if err != nil {
		return false
	}
	return netaddr.IsLoopback(u.Hostname())
}

// get returns one tunneled Viewer, after a query if necessary.
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

// find looks up a session, and returns the age of the list.
func (t *tunnels) find(sessionID string) (tunnel, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[sessionID], time.Since(t.queriedAt)
}

// refreshIfStale updates the list if the Viewer answers in time.
func (t *tunnels) refreshIfStale(ctx context.Context) {
	if t.unreachableReason == "" && t.parent.Away() == nil {
		_ = t.refresh(ctx, time.Now().Add(-listMaxAge), listTimeout) // on failure the known list is used
	}
}

// reachable returns the Viewers that can be called now, sorted by name.
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

// refresh waits for the answer to a query that was sent at or after since. A query in
// flight is shared and continues without its callers. timeout counts from when the query
// was sent, so that late callers do not wait as long again for a Viewer that does not
// answer.
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
	errNoAnswer = errors.New("it has not listed its remote viewers in time")
)

// explain adds the name of the Viewer that did not answer.
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
	select {
	case <-q.done:
		return nil
	case <-time.After(time.Until(q.since.Add(timeout))):
		return errNoAnswer
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start sends a query, at least minInterval after the last one. t.mu must be held; the
// goroutine ends with the query, or with the fleet.
func (t *tunnels) start() {
	q := &query{since: time.Now(), done: make(chan struct{})}
	t.inFlight = q
	delay := time.Until(t.queriedAt.Add(minInterval))
	t.fleet.queries.Go(func() {
		defer close(q.done)
		t.runQuery(delay)
	})
}

// runQuery sends the query and stores the answer.
func (t *tunnels) runQuery(delay time.Duration) {
	select {
	case <-time.After(delay):
	case <-t.ctx.Done():
	}
	t.mu.Lock()
	started, version := time.Now(), t.version
	t.mu.Unlock()
	sessions, err := t.parent.Client.Sessions(t.ctx)
	if restclient.IsKind(err, restclient.KindUnsupported) {
		sessions, err = nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inFlight = nil
	if version != t.version && t.ctx.Err() == nil {
		return // waiters query again
	}
	t.queriedAt, t.err = started, err
	if err == nil || restclient.IsKind(err, restclient.KindUnreachable) { // with a Viewer, its tunnels are gone
		t.store(sessions)
	}
}
