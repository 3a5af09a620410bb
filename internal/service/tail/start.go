package tail

import (
	"context"
	"errors"
	"fmt"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/follow"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// start resolves the runs of the request, or of its token.
func (t *tail) start(ctx context.Context) error {
	token := &tailToken{}
	if text := t.req.GetResumeToken(); text != "" {
		var err error
		if token, err = readTailToken(text); err != nil {
			return invalidResumeToken(err)
		}
		if err := t.checkToken(ctx, token); err != nil {
			return err
		}
	}
	byFilter := t.req.GetFilter() != ""
	t.until = untilOf(t.req.GetUntil(), byFilter)
	switch {
	case byFilter:
		return t.startFilter(ctx, token)
	case t.req.GetResumeToken() == "":
		return t.startRuns(ctx)
	}
	return t.resume(ctx, token)
}

// untilOf returns when the runs of a tail end.
func untilOf(until runicornapiv1.TailUntil, byFilter bool) follow.Until {
	switch {
	case until == runicornapiv1.TailUntil_TAIL_UNTIL_FOREVER,
		until == runicornapiv1.TailUntil_TAIL_UNTIL_UNSPECIFIED && byFilter:
		return follow.Forever
	}
	return follow.UntilEnded
}

var (
	errOtherRuns   = errors.New("it belongs to other runs than run_ids")
	errOtherFilter = errors.New("it belongs to another filter")
	errNoFilter    = errors.New("it belongs to a stream by filter: send the same filter with it")
)

// checkToken refuses a token if the request names other runs or another filter. The names
// of sessions of one Viewer are equivalent, and the sessions may no longer exist.
func (t *tail) checkToken(ctx context.Context, token *tailToken) error {
	switch text := t.req.GetFilter(); {
	case text == "" && token.hasFilter && len(t.req.GetRunIds()) == 0:
		return invalidResumeToken(errNoFilter)
	case text != "" && (!token.hasFilter || filterHash(text) != token.filter):
		return invalidResumeToken(errOtherFilter)
	}
	if len(t.req.GetRunIds()) == 0 {
		return nil
	}
	var requested []string
	for i, id := range t.req.GetRunIds() {
		viewer, runID, err := t.service.resolver.ViewerOf(ctx, t.req.GetViewer(), fmt.Sprintf("run_ids[%d]", i), id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(token.runs, func(r tailRun) bool { return isSameViewer(r.viewer, viewer) && r.runID == runID }) {
			return invalidResumeToken(errOtherRuns)
		}
		if name := target.ResourceName(viewer, runID); !slices.Contains(requested, name) {
			requested = append(requested, name)
		}
	}
	if token.hasFilter || len(requested) != len(token.runs) {
		return invalidResumeToken(errOtherRuns)
	}
	return nil
}

// startRuns follows the runs that the request names.
func (t *tail) startRuns(ctx context.Context) error {
	requested, err := t.service.resolver.Runs(ctx, t.req.GetViewer(), t.req.GetRunIds())
	if err != nil {
		return err
	}
	start := runsource.Beginning()
	if t.fromNow() {
		start = runsource.Now()
	}
	for _, n := range target.Unique(requested) {
		t.runs = append(t.runs, &tailedRun{Run: n, at: start})
	}
	if !t.token().fits() {
		return apierr.Invalid("run_ids", "are too long to fit into a resume_token; follow fewer runs in one stream")
	}
	return nil
}

// fromNow reports whether the request wants only what is logged from now on.
func (t *tail) fromNow() bool { return t.req.GetStart() == runicornapiv1.TailStart_TAIL_START_NOW }

// resume continues with the runs of a token. A run that waits for its session does not
// delay a tail by filter over all Viewers, and neither does one that has ended.
func (t *tail) resume(ctx context.Context, token *tailToken) error {
	if len(token.runs) == 0 || len(token.runs) > maxTailRuns {
		return invalidResumeToken(page.ErrDamaged)
	}
	for i := range token.runs {
		saved := &token.runs[i]
		run := &tailedRun{at: saved.at, state: savedState(saved)}
		var err error
		run.Run, err = t.service.resolveSavedRun(ctx, t.req.GetViewer(), saved)
		if isViewerGone(err) && (t.followsAllViewers() || run.state.phase == runResting) {
			run.Run = target.Run{Viewer: &fleet.Viewer{Name: saved.viewer}, RunID: saved.runID}
			run.state.on(eventDetached)
			if run.state.phase == runResting {
				run.state.on(eventEnd)
			}
			err = nil
		}
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(t.runs, func(r *tailedRun) bool { return r.ResourceName() == run.ResourceName() }) {
			t.runs = append(t.runs, run)
		}
	}
	return nil
}
