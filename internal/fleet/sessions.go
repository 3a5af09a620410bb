package fleet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"syscall"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// name returns the name of the Viewer behind a session.
func (t *tunnels) name(sessionID string) string { return t.parent.Name + "." + sessionID }

// store replaces the known sessions. t.mu must be held.
func (t *tunnels) store(sessions []restclient.Session) {
	known := make(map[string]tunnel)
	for _, s := range t.bounded(sessions) {
		known[s.ID] = t.tunnel(s)
	}
	for id, old := range t.known {
		if now := known[id]; now.viewer != old.viewer {
			old.end(now.status)
		}
	}
	changed := !maps.EqualFunc(t.known, known, func(a, b tunnel) bool { return a.viewer == b.viewer && a.active == b.active })
	t.known = known
	if changed {
		t.fleet.changes.notify()
	}
}

// maxSessions is the maximum number of sessions of one Viewer that become Viewers: each has
// its own goroutines, connections and metrics. People start them one by one.
const maxSessions = 64

// bounded removes entries with invalid names and those above maxSessions, but keeps known
// ones. t.mu must be held.
func (t *tunnels) bounded(sessions []restclient.Session) []restclient.Session {
	var kept, others []restclient.Session
	for _, s := range sessions {
		_, isKnown := t.known[s.ID]
		switch {
		case !validSession.MatchString(s.ID):
		case isKnown:
			kept = append(kept, s)
		default:
			others = append(others, s)
		}
	}
	kept = append(kept, others...)
	left := max(len(kept)-maxSessions, 0)
	if left > 0 && !t.crowded && t.base.Log != nil {
		t.base.Log.Warn("remote viewers left out, the viewer lists too many",
			slog.String("viewer", t.parent.Name), slog.Int("left_out", left), slog.Int("limit", maxSessions))
	}
	t.crowded = left > 0
	return kept[:len(kept)-left]
}

// tunnel returns the entry of a session: the same Viewer as long as it works at the same
// port. A session that works again is a new Viewer, because users of the old one were told
// of its end. t.mu must be held.
func (t *tunnels) tunnel(s restclient.Session) tunnel {
	port := s.LocalPort.Value
	now := tunnel{port: port, active: s.Active, status: s.Status.Value}
	if old := t.known[s.ID]; old.viewer != nil && old.port == port && old.active == s.Active {
		now.viewer = old.viewer
		return now
	}
	if t.unreachableReason != "" || port < 1 || port > 65535 {
		return now
	}
	cfg := t.base
	// The tunnel listens on IPv4 only; "localhost" may resolve to IPv6.
	cfg.Name, cfg.BaseURL = t.name(s.ID), fmt.Sprintf("http://127.0.0.1:%d", port)
	client, err := restclient.New(cfg)
	if err != nil {
		return now // unreachable: the configuration was valid for the parent, and so is this URL
	}
	now.viewer = &Viewer{Name: cfg.Name, Client: client, Parent: t.parent, session: newSession(), fleet: t.fleet}
	return now
}

// close closes idle connections.
func (t *tunnels) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, found := range t.known {
		found.end("")
	}
}

// Reach returns the name of a session's remote Viewer, or why it cannot be reached from
// here.
func (f *Fleet) Reach(parent *Viewer, s restclient.Session) (name, unreachable string) {
	t := f.tunnels[parent.Name]
	switch {
	case t == nil:
		return "", "it is a tunnel of a remote viewer, or this server ignores tunnels"
	case t.unreachableReason != "":
		return "", t.unreachableReason
	case !validSession.MatchString(s.ID) || s.LocalPort.Value < 1 || s.LocalPort.Value > 65535:
		return "", "the viewer that holds the session does not say where the tunnel listens"
	case !s.Active:
		return "", (&EndedError{Name: t.name(s.ID), Status: s.Status.Value}).Error()
	}
	return t.name(s.ID), ""
}

// PortTaken reports whether a process on this machine already listens on a tunnel's port.
// It is false if the Viewer is on another machine.
func (f *Fleet) PortTaken(ctx context.Context, parent *Viewer, port int) bool {
	if t := f.tunnels[parent.Name]; t == nil || t.unreachableReason != "" {
		return false
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return errors.Is(err, syscall.EADDRINUSE)
	}
	_ = listener.Close() // nothing was accepted
	return false
}

// Add makes a session known that this server has just started, without a query. StopStarted
// stops it unless it was removed.
func (f *Fleet) Add(parent *Viewer, s restclient.Session) {
	f.started.add(parent, s.ID)
	if t := f.tunnels[parent.Name]; t != nil && validSession.MatchString(s.ID) {
		t.update(func() {
			old, now := t.known[s.ID], t.tunnel(s)
			if t.known[s.ID] = now; now.viewer != old.viewer {
				old.end(now.status)
			}
		})
	}
}

// Remove removes a session that this server has just stopped.
func (f *Fleet) Remove(parent *Viewer, sessionID string) {
	f.started.remove(parent, sessionID)
	if t := f.tunnels[parent.Name]; t != nil {
		t.update(func() {
			t.known[sessionID].end("stopped")
			delete(t.known, sessionID)
		})
	}
}

// update changes the known sessions, and invalidates queries in flight.
func (t *tunnels) update(change func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change()
	t.version++
	t.fleet.changes.notify()
}
