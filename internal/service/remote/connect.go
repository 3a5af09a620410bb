package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// connect opens a connection. AlreadyConnected tells whether it was already open, in
// which case the Viewer has not checked the credentials. Viewers do not report that: they
// are asked before, while no other call of this server for that Viewer can run.
// Concurrent changes by other clients of the Viewer cannot be detected.
func (s *Service) connect(ctx context.Context, v *fleet.Viewer, login restclient.Login) (c *restclient.Connection, alreadyConnected bool, err error) {
	unlock, err := s.locks.lock(ctx, v.Name)
	if err != nil {
		return nil, false, err
	}
	defer unlock()
	return connectLocked(ctx, v, login)
}

// connectLocked is connect for a caller that holds the Viewer's mutex.
func connectLocked(ctx context.Context, v *fleet.Viewer, login restclient.Login) (c *restclient.Connection, alreadyConnected bool, err error) {
	before, err := v.Client.Connections(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, c := range before {
		alreadyConnected = alreadyConnected || (c.Connected && c.ID.Value == login.ID())
	}
	c, err = v.Client.Connect(ctx, login)
	return c, alreadyConnected, err
}

// connectionRequest is a request about an open connection.
type connectionRequest interface {
	GetViewer() string
	GetConnectionId() string
}

// resolveConnection returns the Viewer and the connection that a request names. It does
// not check whether a complete id exists; the Viewer does.
func (s *Service) resolveConnection(ctx context.Context, req connectionRequest) (*fleet.Viewer, string, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
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
		return nil, "", connectionIDError(err)
	}
	return v, id, s.config.Policy.allows(endpoint.Host)
}

// connectionIDError names connection_id in the error for an invalid part of it.
func connectionIDError(err error) error {
	refused, ok := errors.AsType[*restclient.IDError](err)
	if !ok || refused.Field == "connection_id" {
		return err
	}
	return &restclient.IDError{Field: "connection_id", Reason: "has a " + refused.Field + " that " + refused.Reason}
}

// findConnection finds the connection of an id. A bare host is accepted if one connection
// matches it; if several do, the one that is connected.
func findConnection(ctx context.Context, v *fleet.Viewer, id string) (*restclient.Connection, error) {
	if strings.Contains(id, "@") {
		if _, err := restclient.ParseConnectionID(id); err != nil {
			return nil, connectionIDError(err)
		}
	}
	all, err := v.Client.Connections(ctx)
	if err != nil {
		return nil, err
	}
	var found, connected []*restclient.Connection
	for i := range all {
		if c := &all[i]; c.ID.Value == id || strings.EqualFold(c.Host.Value, id) {
			found = append(found, c)
			if c.Connected {
				connected = append(connected, c)
			}
		}
	}
	switch {
	case len(found) == 0:
		return nil, restclient.NotFound(v.Name, "connection", id, "")
	case len(found) == 1:
		return found[0], nil
	case len(connected) == 1:
		return connected[0], nil
	}
	return nil, ambiguousHost(found)
}

// ambiguousHost is the error for a bare host that several connections match.
func ambiguousHost(found []*restclient.Connection) error {
	ids := make([]string, 0, len(found))
	for _, c := range found {
		ids = append(ids, c.ID.Value)
	}
	return conflict("several connections match this host; name one of them: %s", strings.Join(ids, ", "))
}

// conflict is the error for a request that the state of a Viewer does not allow.
func conflict(format string, args ...any) *apierr.Error {
	return &apierr.Error{
		Code:    codes.FailedPrecondition,
		Reason:  runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT,
		Message: fmt.Sprintf(format, args...),
	}
}

// viewerMutex is one mutex per Viewer. Calls that read the state of a Viewer and then
// change it must not interleave. The zero value is ready.
type viewerMutex struct {
	mu      sync.Mutex
	entries map[string]*mutexEntry
}

type mutexEntry struct {
	sem   chan struct{} // holds one token while the mutex is free
	users int
}

// lock waits for the mutex and returns the function that unlocks it.
func (m *viewerMutex) lock(ctx context.Context, viewer string) (unlock func(), err error) {
	m.mu.Lock()
	if m.entries == nil {
		m.entries = make(map[string]*mutexEntry)
	}
	entry, ok := m.entries[viewer]
	if !ok {
		entry = &mutexEntry{sem: make(chan struct{}, 1)}
		entry.sem <- struct{}{}
		m.entries[viewer] = entry
	}
	entry.users++
	m.mu.Unlock()
	leave := func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if entry.users--; entry.users == 0 {
			delete(m.entries, viewer)
		}
	}
	select {
	case <-entry.sem:
		return func() { entry.sem <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
