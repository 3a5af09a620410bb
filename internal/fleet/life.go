package fleet

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// life is how long a tunnelled Viewer is there: as long as its session works.
type life struct {
	ctx context.Context //nolint:containedctx // it is over when the session has ended, and carries nothing
	end context.CancelCauseFunc
}

func newLife() *life {
	ctx, end := context.WithCancelCause(context.Background())
	return &life{ctx, end}
}

// WhenEnded has f called, in a goroutine of its own, when the session of a
// tunnelled Viewer has ended, at once if it has; a configured one has no end. The
// error is an *EndedError. Stop takes that back.
func (v *Viewer) WhenEnded(f func(error)) (stop func()) {
	if v.life == nil {
		return func() {}
	}
	forget := context.AfterFunc(v.life.ctx, func() { f(context.Cause(v.life.ctx)) })
	return func() { forget() }
}

// Stands asks whether a tunnelled Viewer is there at this moment; a configured
// one always is. The errors are an *EndedError, and that of the question.
func (f *Fleet) Stands(ctx context.Context, v *Viewer) error {
	if v.life == nil {
		return nil
	}
	t := f.tunnels[v.Parent.Name]
	if err := t.ask(ctx, time.Now(), getPatience); err != nil {
		return fmt.Errorf("ask viewer %s for its remote viewers: %w", v.Parent.Name, err)
	}
	if v.life.ctx.Err() != nil {
		return context.Cause(v.life.ctx)
	}
	return nil
}

// leave ends the life of a Viewer whose session has ended, and gives up its
// idle connections.
func (t tunnel) leave(status string) {
	if t.viewer == nil {
		return
	}
	t.viewer.life.end(&EndedError{Name: t.viewer.Name, Status: status})
	t.viewer.Client.Close()
}

// SameHolder reports whether two names are of sessions that one Viewer holds.
func SameHolder(a, b string) bool {
	holderA, _, isSessionA := strings.Cut(a, ".")
	holderB, _, isSessionB := strings.Cut(b, ".")
	return isSessionA && isSessionB && holderA == holderB
}

// Siblings returns the tunnelled Viewers, as known now, of the Viewer that holds
// or held the session of a name. It is false for names of all else, and of
// sessions that cannot be reached from here.
func (f *Fleet) Siblings(name string) ([]*Viewer, bool) {
	holder, sessionID, isSession := strings.Cut(name, ".")
	t := f.tunnels[holder]
	if !isSession || t == nil || t.elsewhere != "" || !validSession.MatchString(sessionID) {
		return nil, false
	}
	return t.working(), true
}
