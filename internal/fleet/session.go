package fleet

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// session is the lifetime of a tunneled Viewer.
type session struct {
	ctx    context.Context //nolint:containedctx // canceled when the session has ended; has no values
	cancel context.CancelCauseFunc
}

func newSession() *session {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &session{ctx, cancel}
}

// OnEnd calls f in a new goroutine when the session of a tunneled Viewer has ended, or at
// once if it has already; a configured Viewer has no end. The error is an *EndedError. stop
// cancels the call.
func (v *Viewer) OnEnd(f func(error)) (stop func()) {
	if v.session == nil {
		return func() {}
	}
	cancel := context.AfterFunc(v.session.ctx, func() { f(context.Cause(v.session.ctx)) })
	return func() { cancel() }
}

// CheckAlive queries whether a tunneled Viewer is there now; a configured one always is.
// The errors are an *EndedError and that of the query.
func (f *Fleet) CheckAlive(ctx context.Context, v *Viewer) error {
	if v.session == nil {
		return nil
	}
	t := f.tunnels[v.Parent.Name]
	if err := t.refresh(ctx, time.Now(), getTimeout); err != nil {
		return fmt.Errorf("ask viewer %s for its remote viewers: %w", v.Parent.Name, err)
	}
	if v.session.ctx.Err() != nil {
		return context.Cause(v.session.ctx)
	}
	return nil
}

// end ends the session of a Viewer and closes its idle connections.
func (t tunnel) end(status string) {
	if t.viewer == nil {
		return
	}
	t.viewer.session.cancel(&EndedError{Name: t.viewer.Name, Status: status})
	t.viewer.Client.Close()
}

// SameParent reports whether two names are of sessions of the same Viewer.
func SameParent(a, b string) bool {
	parentA, _, isSessionA := strings.Cut(a, ".")
	parentB, _, isSessionB := strings.Cut(b, ".")
	return isSessionA && isSessionB && parentA == parentB
}

// Siblings returns the known tunneled Viewers of the parent in the name of a session, which
// may have ended. It is false for other names, and for sessions that cannot be reached from
// here or do not exist for ctx.
func (f *Fleet) Siblings(ctx context.Context, name string) ([]*Viewer, bool) {
	parent, sessionID, isSession := strings.Cut(name, ".")
	t := f.tunnelsOf(ctx, parent)
	if !isSession || t == nil || t.unreachableReason != "" || !validSession.MatchString(sessionID) {
		return nil, false
	}
	return t.reachable(), true
}
