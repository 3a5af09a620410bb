package service

import (
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
)

// isOfAll says that the tail is of all Viewers there are, whichever come and go.
// A session that ends does not end it: its runs wait for another one.
func (t *tail) isOfAll() bool { return t.filter != nil && t.filter.viewer == allViewers }

// needed are the Viewers without which the tail cannot go on.
func (t *tail) needed() (viewers []*fleet.Viewer) {
	if t.isOfAll() {
		return nil
	}
	for _, r := range t.runs {
		if !r.isDone && !r.isEnded() {
			viewers = append(viewers, r.Viewer)
		}
	}
	if t.filter != nil {
		for _, m := range t.filter.members {
			viewers = append(viewers, m.viewer)
		}
	}
	return viewers
}

// refresh joins Viewers that are new, and leaves those that are gone.
func (t *tail) refresh(ctx context.Context) error {
	if !t.isOfAll() {
		return nil
	}
	gone, err := t.filter.enroll(ctx)
	for _, m := range gone {
		for _, r := range t.runs {
			if r.Viewer == m.viewer {
				r.leave()
			}
		}
	}
	return err
}

// leave has a run wait for another session.
func (r *tailedRun) leave() {
	r.close()
	r.isAway = true
}

// lose is what becomes of a run whose Viewer is not the one that was asked.
func (t *tail) lose(ctx context.Context, r *tailedRun, why error) error {
	if !t.isOfAll() {
		return why
	}
	r.leave()
	return t.refresh(ctx)
}

// resumeOn finds the Viewer that a token's filter means by a session's name:
// where its runs are, if that session has ended.
func (t *tail) resumeOn(ctx context.Context, token *tailToken) (string, error) {
	if named := t.req.GetViewer(); fleet.SameHolder(named, token.viewer) {
		if _, err := t.Fleet.Get(ctx, named); err == nil || !isLost(err) {
			return named, err
		}
	}
	_, err := t.Fleet.Get(ctx, token.viewer)
	if err == nil || !isLost(err) {
		return token.viewer, err
	}
	if _, ok := t.Fleet.Siblings(token.viewer); !ok {
		return "", lostViewer(err)
	}
	for i := range token.runs {
		if found, err := t.place(ctx, "", &token.runs[i]); err == nil {
			return found.Name, nil
		}
	}
	return "", sessionEnded(token.viewer, err)
}
