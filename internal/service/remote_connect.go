package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// connect opens a connection, and tells whether it stood already, in which case
// the Viewer has checked no credentials. Viewers do not say so: they are asked
// before, and no other call of this server comes between. What others do with
// the same Viewer at that moment cannot be known.
func (s *remoteService) connect(ctx context.Context, v *fleet.Viewer, login restclient.Login) (c *restclient.Connection, stood bool, err error) {
	done, err := s.turns.take(ctx, v.Name)
	if err != nil {
		return nil, false, err
	}
	defer done()
	return connectInTurn(ctx, v, login)
}

// connectInTurn is connect for whoever has the turn.
func connectInTurn(ctx context.Context, v *fleet.Viewer, login restclient.Login) (c *restclient.Connection, stood bool, err error) {
	before, err := v.Client.Connections(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, c := range before {
		stood = stood || (c.Connected && c.ID.Value == login.ID())
	}
	c, err = v.Client.Connect(ctx, login)
	return c, stood, err
}

// connectionRequest is a request about a standing connection.
type connectionRequest interface {
	GetViewer() string
	GetConnectionId() string
}

// over finds the Viewer and the connection that a request is about. Whether a
// whole id stands for a connection is for the Viewer to say.
func (s *remoteService) over(ctx context.Context, req connectionRequest) (*fleet.Viewer, string, error) {
	v, err := s.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, "", err
	}
	id := req.GetConnectionId()
	if !strings.Contains(id, "@") {
		c, err := findConnection(ctx, v, id)
		if err != nil {
			return nil, "", err
		}
		id = c.ID.Value
	}
	endpoint, err := restclient.ParseConnectionID(id)
	if err != nil {
		return nil, "", onConnection(err)
	}
	return v, id, s.Remote.allows(endpoint.Host)
}

// onConnection blames connection_id for a refused part of it.
func onConnection(err error) error {
	refused, ok := errors.AsType[*restclient.IDError](err)
	if !ok || refused.Field == "connection_id" {
		return err
	}
	return &restclient.IDError{Field: "connection_id", Reason: "has a " + refused.Field + " that " + refused.Reason}
}

// findConnection finds the connection of an id, or of a bare host where only
// one matches it: of several, the one that stands.
func findConnection(ctx context.Context, v *fleet.Viewer, id string) (*restclient.Connection, error) {
	if strings.Contains(id, "@") {
		if _, err := restclient.ParseConnectionID(id); err != nil {
			return nil, onConnection(err)
		}
	}
	all, err := v.Client.Connections(ctx)
	if err != nil {
		return nil, err
	}
	var found, standing []*restclient.Connection
	for i := range all {
		if c := &all[i]; c.ID.Value == id || strings.EqualFold(c.Host.Value, id) {
			found = append(found, c)
			if c.Connected {
				standing = append(standing, c)
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, notHeld(v, "connection", id)
	case len(found) == 1:
		return found[0], nil
	case len(standing) == 1:
		return standing[0], nil
	}
	return nil, ambiguous(found)
}

// ambiguous refuses a bare host that several connections match.
func ambiguous(found []*restclient.Connection) error {
	ids := make([]string, 0, len(found))
	for _, c := range found {
		ids = append(ids, c.ID.Value)
	}
	return conflict("several connections match this host; name one of them: %s", strings.Join(ids, ", "))
}

// conflict refuses what the state of a Viewer does not allow.
func conflict(format string, args ...any) *failure {
	return &failure{
		code:    codes.FailedPrecondition,
		reason:  runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT,
		message: fmt.Sprintf(format, args...),
	}
}

// turns gives callers their turns, one at a time per Viewer: whoever asks a
// Viewer for its state and then changes that must not be interrupted by another
// who does. The zero value is ready.
type turns struct {
	mu  sync.Mutex
	now map[string]*turn
}

type turn struct {
	free  chan struct{} // holds one token while nobody has the turn
	users int
}

// take waits for the turn and returns how to end it.
func (t *turns) take(ctx context.Context, viewer string) (done func(), err error) {
	t.mu.Lock()
	if t.now == nil {
		t.now = make(map[string]*turn)
	}
	mine, ok := t.now[viewer]
	if !ok {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.now[viewer] = mine
	}
	mine.users++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.users--; mine.users == 0 {
			delete(t.now, viewer)
		}
	}
	select {
	case <-mine.free:
		return func() { mine.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
