package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

const (
	// getAge is how old the list of tunnels may be for a call to one of them:
	// a port may get another owner as soon as its session has ended.
	getAge = 2 * time.Second
	// busyAge is how old it may be while the Viewer is at work over SSH, and
	// can say nothing.
	busyAge = 2 * time.Minute
	// lookAge is how old it may be for a list of all Viewers.
	lookAge = 3 * time.Second
	// askGap is the least time between two questions, whoever asks for what.
	askGap = 250 * time.Millisecond
	// getPatience and lookPatience are how long a caller waits for an answer.
	getPatience  = 10 * time.Second
	lookPatience = 500 * time.Millisecond
)

// validSession is what a session can be called: the Viewers make up eight
// hexadecimal digits.
var validSession = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// EndedError says that a tunnelled Viewer is listed, but that its session does
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
	life   context.Context //nolint:containedctx // of the questions, which outlive who asked
	// elsewhere says why no tunnel can be reached from here; empty if they can.
	elsewhere string

	mu    sync.Mutex
	known map[string]tunnel // by session
	// asked is when the last question was put that has an answer, err the
	// answer if it was none.
	asked time.Time
	err   error
	// edits counts Adopt and Forget: an answer to a question that was put
	// before one of them is out of date.
	edits  int
	flight *question
}

// tunnel is one session and the Viewer behind it, which is nil if it cannot be
// reached.
type tunnel struct {
	viewer *Viewer
	port   int64
	active bool
	status string
}

// question is one that is being asked.
type question struct {
	since time.Time
	done  chan struct{}
}

func newTunnels(life context.Context, f *Fleet, parent *Viewer, base restclient.Config) *tunnels {
	t := &tunnels{fleet: f, parent: parent, base: base, life: life, known: make(map[string]tunnel)}
	if !onLoopback(parent.Client.BaseURL()) {
		t.elsewhere = fmt.Sprintf("the tunnel listens on the loopback of the machine of viewer %s, which is another one", parent.Name)
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
	if strings.EqualFold(u.Hostname(), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return err == nil && ip.Unmap().IsLoopback()
}

// get returns one tunnelled Viewer, after a question if need be.
func (t *tunnels) get(ctx context.Context, sessionID string) (*Viewer, error) {
	if t.elsewhere != "" {
		return nil, t.fleet.unknown(t.name(sessionID), t.elsewhere)
	}
	found, age := t.find(sessionID)
	if found.viewer == nil || age > getAge {
		err := t.ask(ctx, time.Now(), getPatience)
		if busy := t.parent.Client.Busy() && age <= busyAge; err != nil && (found.viewer == nil || !busy) {
			return nil, fmt.Errorf("ask viewer %s for its remote viewers: %w", t.parent.Name, err)
		}
		found, _ = t.find(sessionID)
	}
	switch {
	case found.viewer == nil:
		return nil, t.fleet.unknown(t.name(sessionID), "")
	case !found.active:
		return nil, &EndedError{Name: found.viewer.Name, Status: found.status}
	}
	return found.viewer, nil
}

// find looks a session up, and tells how old the knowledge is.
func (t *tunnels) find(sessionID string) (tunnel, time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.known[sessionID], time.Since(t.asked)
}

// look brings the list up to date, if that is to be had soon.
func (t *tunnels) look(ctx context.Context) {
	if t.elsewhere == "" {
		_ = t.ask(ctx, time.Now().Add(-lookAge), lookPatience) // without an answer, what is known has to do
	}
}

// working returns the Viewers that can be called now, in the order of their
// names.
func (t *tunnels) working() []*Viewer {
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

// ask waits for the answer to a question that was put at or after since. One
// that is being asked is shared, goes on when its callers have left, and is
// waited for as long as patience, counted from when it was put: who comes late
// to a Viewer that says nothing is not held up as well.
func (t *tunnels) ask(ctx context.Context, since time.Time, patience time.Duration) error {
	for {
		t.mu.Lock()
		if !t.asked.Before(since) {
			defer t.mu.Unlock()
			return t.err
		}
		if t.flight == nil {
			t.launch()
		}
		q := t.flight
		t.mu.Unlock()
		if err := q.wait(ctx, patience); err != nil {
			return t.explain(err)
		}
		if t.life.Err() != nil {
			return errClosed
		}
	}
}

var (
	errClosed = errors.New("the fleet is closed")
	errSilent = errors.New("it has not said in time which remote viewers it holds")
)

// explain names the Viewer that said nothing.
func (t *tunnels) explain(err error) error {
	if !errors.Is(err, errSilent) {
		return err
	}
	return &restclient.Error{
		Kind: restclient.KindTimeout, Viewer: t.parent.Name, Capability: restclient.CapSessions, Detail: err.Error(), Err: err,
	}
}

// wait waits for an answer.
func (q *question) wait(ctx context.Context, patience time.Duration) error {
	timer := time.NewTimer(time.Until(q.since.Add(patience)))
	defer timer.Stop()
	select {
	case <-q.done:
		return nil
	case <-timer.C:
		return errSilent
	case <-ctx.Done():
		return ctx.Err()
	}
}

// launch puts a question, at the earliest askGap after the last one. Called
// with mu held; the goroutine ends with the question, or with the fleet.
func (t *tunnels) launch() {
	q := &question{since: time.Now(), done: make(chan struct{})}
	t.flight = q
	pause := time.Until(t.asked.Add(askGap))
	t.fleet.asking.Go(func() {
		defer close(q.done)
		t.question(pause)
	})
}

// question asks, and keeps the answer.
func (t *tunnels) question(pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.life.Done():
	}
	t.mu.Lock()
	put, edits := time.Now(), t.edits
	t.mu.Unlock()
	sessions, err := t.parent.Client.Sessions(t.life)
	if e, ok := errors.AsType[*restclient.Error](err); ok && e.Kind == restclient.KindUnsupported {
		sessions, err = nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flight = nil
	if edits != t.edits && t.life.Err() == nil {
		return // whoever waits asks again
	}
	t.asked, t.err = put, err
	if err == nil || gone(err) {
		t.keep(sessions)
	}
}

// gone reports whether a Viewer is not there any more, and its tunnels with it.
func gone(err error) bool {
	e, ok := errors.AsType[*restclient.Error](err)
	return ok && e.Kind == restclient.KindUnreachable
}
