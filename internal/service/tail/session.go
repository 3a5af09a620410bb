package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/drain"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// streamError maps the error of a stream's work. If the context has ended, its cause is
// returned, not the errors that followed from it.
func streamError(ctx context.Context, err error) error {
	switch {
	case errors.Is(context.Cause(ctx), drain.ErrDraining), errors.Is(err, follow.ErrHubClosed):
		return drain.ErrDraining
	case ctx.Err() == nil:
		return err
	}
	if e, ok := errors.AsType[*fleet.EndedError](context.Cause(ctx)); ok {
		return sessionEndedError(e.Name, e)
	}
	return ctx.Err()
}

// withSessionCancel returns a context that is also cancelled when the session of any of
// the Viewers ends; streamError recognizes that cause. The caller must call stop.
// Configured Viewers have no sessions, so most streams need no extra context.
func withSessionCancel(parent context.Context, viewers ...*fleet.Viewer) (ctx context.Context, stop func()) {
	if !slices.ContainsFunc(viewers, func(v *fleet.Viewer) bool { return v.Parent != nil }) {
		return parent, func() {}
	}
	ctx, end := context.WithCancelCause(parent)
	stops := make([]func(), 0, len(viewers))
	for i, v := range viewers {
		if !slices.Contains(viewers[:i], v) {
			stops = append(stops, v.OnEnd(end))
		}
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		end(nil)
	}
}

// sessionEndedError is the error of a stream whose remote Viewer has no session any more.
func sessionEndedError(viewer string, cause error) *apierr.Error {
	return apierr.Unreachable(viewer,
		fmt.Sprintf("the session of viewer %s has ended; the last resume token continues when a session of the same Viewer has the run", viewer), cause)
}

// isViewerGone reports whether the error is that of a Viewer that does not exist.
func isViewerGone(err error) bool {
	_, isUnknown := errors.AsType[*fleet.UnknownError](err)
	_, hasEnded := errors.AsType[*fleet.EndedError](err)
	return isUnknown || hasEnded
}

// isSameViewer reports whether two names are of the same Viewer, or of sessions of the
// same Viewer, which a token does not distinguish.
func isSameViewer(a, b string) bool { return a == b || fleet.SameParent(a, b) }

// resolveSavedRun returns where to continue a run of a token: on the Viewer that the
// request names, if that is another session of the same Viewer; on the token's Viewer; or
// on any other session that has the run. The run is validated like one of a request,
// since a client may have made the token itself.
func (s *Service) resolveSavedRun(ctx context.Context, requested string, saved *tailRun) (target.Run, error) {
	if requested != saved.viewer && fleet.SameParent(requested, saved.viewer) {
		if found, err := s.resolver.Run(ctx, requested, "resume_token", saved.runID); err == nil || !isViewerGone(err) {
			return found, err
		}
	}
	found, err := s.resolver.Run(ctx, saved.viewer, "resume_token", saved.runID)
	if err == nil || !isViewerGone(err) {
		return found, err
	}
	siblings, ok := s.config.Fleet.Siblings(ctx, saved.viewer)
	if !ok {
		return target.Run{}, unknownViewerError(err)
	}
	for _, v := range siblings {
		list, listErr := v.Client.Runs(ctx)
		if listErr == nil && list.Find(saved.runID) != nil {
			return target.Run{Viewer: v, RunID: saved.runID}, nil
		}
		err = errors.Join(err, listErr)
	}
	return target.Run{}, sessionEndedError(saved.viewer, err)
}

// unknownViewerError is the error for a token whose Viewer is not configured here.
func unknownViewerError(err error) error {
	if e, ok := errors.AsType[*fleet.UnknownError](err); ok {
		return invalidResumeToken(fmt.Errorf("this server has no viewer %q, only %s", e.Name, strings.Join(e.Known, ", ")))
	}
	return err
}

// isRunGone reports whether an item is the end of a run that does not exist.
func isRunGone(item *follow.Item) bool {
	return item != nil && item.Kind == follow.ItemEnd && item.End != follow.EndTerminal
}

// verifyGone checks whether a tunneled Viewer that does not have a run is still the same
// Viewer. The port of a session that has ended may be used by another one.
func (s *Service) verifyGone(ctx context.Context, t target.Run) error {
	err := s.config.Fleet.CheckAlive(ctx, t.Viewer)
	if isViewerGone(err) {
		return sessionEndedError(t.Name, err)
	}
	return err
}
