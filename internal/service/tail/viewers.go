package tail

import (
	"cmp"
	"context"

	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// followsAllViewers reports whether the tail covers all Viewers, including those that are
// added later. The end of a session does not end it: the runs wait for another session.
func (t *tail) followsAllViewers() bool {
	return t.filter != nil && t.filter.viewer == target.AllViewers
}

// requiredViewers returns the Viewers without which the tail cannot continue.
func (t *tail) requiredViewers() (viewers []*fleet.Viewer) {
	if t.followsAllViewers() {
		return nil
	}
	for _, r := range t.runs {
		if r.state.marks()&markEnded == 0 {
			viewers = append(viewers, r.Viewer)
		}
	}
	if t.filter != nil {
		for _, m := range t.filter.subs {
			viewers = append(viewers, m.viewer)
		}
	}
	return viewers
}

// syncViewers joins new Viewers, and leaves those that were removed.
func (t *tail) syncViewers(ctx context.Context) error {
	if !t.followsAllViewers() {
		return nil
	}
	gone, err := t.filter.sync(ctx)
	for _, m := range gone {
		for _, r := range t.runs {
			if r.Viewer == m.viewer {
				r.detach()
			}
		}
	}
	if len(gone) > 0 {
		err = cmp.Or(err, t.filter.readLists(ctx, t.updateListed))
	}
	return err
}

// detach makes a run wait for another session.
func (r *tailedRun) detach() {
	r.close()
	r.state.on(eventDetached)
}

// detachOrFail handles a run whose Viewer is no longer the one that was polled.
func (t *tail) detachOrFail(ctx context.Context, r *tailedRun, cause error) error {
	if !t.followsAllViewers() {
		return cause
	}
	r.detach()
	return t.syncViewers(ctx)
}

// resolveSavedViewer returns the Viewer of a token's filter. If that names a session that
// has ended, it is the session that has the runs.
func (t *tail) resolveSavedViewer(ctx context.Context, token *tailToken) (string, error) {
	if requested := t.req.GetViewer(); fleet.SameParent(requested, token.viewer) {
		if _, err := t.service.config.Fleet.Get(ctx, requested); err == nil || !isViewerGone(err) {
			return requested, err
		}
	}
	_, err := t.service.config.Fleet.Get(ctx, token.viewer)
	if err == nil || !isViewerGone(err) {
		return token.viewer, err
	}
	if _, ok := t.service.config.Fleet.Siblings(ctx, token.viewer); !ok {
		return "", unknownViewerError(err)
	}
	for i := range token.runs {
		if found, err := t.service.resolveSavedRun(ctx, "", &token.runs[i]); err == nil {
			return found.Name, nil
		}
	}
	return "", sessionEndedError(token.viewer, err)
}
