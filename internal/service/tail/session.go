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

// streamError makes the error of a stream from that of its work: what its end
// has brought about counts, and not what that has broken.
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

// withSessionCancel returns a context that is also cancelled at the end of the session of any of the
// Viewers; streamError recognizes that cause. The caller calls stop. Most streams are of
// Viewers without an end, and need none.
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

// sessionEndedError is the end of a stream whose remote Viewer has none any more.
func sessionEndedError(viewer string, cause error) *apierr.Error {
	return apierr.Unreachable(viewer,
		fmt.Sprintf("the session of viewer %s has ended; the last resume token continues when a session of the same Viewer has the run", viewer), cause)
}

// viewerGone reports whether an error says that there is no such Viewer now.
func viewerGone(err error) bool {
	_, isUnknown := errors.AsType[*fleet.UnknownError](err)
	_, hasEnded := errors.AsType[*fleet.EndedError](err)
	return isUnknown || hasEnded
}

// isSameViewer reports whether two names are of one Viewer, or of sessions of
// one, which a token does not tell apart.
func isSameViewer(a, b string) bool { return a == b || fleet.SameParent(a, b) }

// resolveSavedRun finds where to continue with a run of a token: on the Viewer that the
// request names, if that is another session of the same Viewer, on the token's,
// or on any other session that has the run. The run is checked like one of a
// request, since a client may have made the token itself.
func (s *Service) resolveSavedRun(ctx context.Context, requested string, saved *tailRun) (target.Run, error) {
	if requested != saved.viewer && fleet.SameParent(requested, saved.viewer) {
		if found, err := s.resolver.Run(ctx, requested, "resume_token", saved.runID); err == nil || !viewerGone(err) {
			return found, err
		}
	}
	found, err := s.resolver.Run(ctx, saved.viewer, "resume_token", saved.runID)
	if err == nil || !viewerGone(err) {
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

// unknownViewerError says of a token that its Viewer is not configured here.
func unknownViewerError(err error) error {
	if e, ok := errors.AsType[*fleet.UnknownError](err); ok {
		return invalidResumeToken(fmt.Errorf("this server has no viewer %q, only %s", e.Name, strings.Join(e.Known, ", ")))
	}
	return err
}

// isRunGone says of an item of a cursor that it is the end of a run that is not
// there.
func isRunGone(item *follow.Item) bool {
	return item != nil && item.Kind == follow.ItemEnd && item.End != follow.EndTerminal
}

// verifyGone checks whether a tunneled Viewer that has no such run is still the
// one that was asked: the port of a session that has ended is soon another's.
func (s *Service) verifyGone(ctx context.Context, t target.Run) error {
	err := s.config.Fleet.CheckAlive(ctx, t.Viewer)
	if viewerGone(err) {
		return sessionEndedError(t.Name, err)
	}
	return err
}
