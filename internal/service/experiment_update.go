package service

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"

	runicornv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicorn/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// mayUpdate refuses an update before anything is changed: what cannot be done
// in full is not begun.
func (d *Deps) mayUpdate(ctx context.Context, t target, req *runicornv1.UpdateExperimentRequest) error {
	attributes := req.Alias != nil || req.GetTags() != nil
	if !attributes && req.Path == nil {
		return invalid("alias", "or tags or path must be set: there is nothing to change")
	}
	if err := checkSDKForm("run_id", t.runID); err != nil {
		return err
	}
	if req.Path != nil {
		if err := checkNewPath(req.GetPath()); err != nil {
			return err
		}
		if err := t.need(ctx, restclient.CapMoveRuns, "the path is set when the run is started"); err != nil {
			return err
		}
	}
	if attributes {
		if err := t.need(ctx, restclient.CapPatchRun, "alias and tags are set when the run is started, on Viewers from 0.6 on"); err != nil {
			return err
		}
	}
	return d.checkEtag(ctx, t, req.GetEtag())
}

// need refuses what the target's Viewer is known to lack.
func (t target) need(ctx context.Context, name restclient.Capability, instead string) error {
	caps, err := t.Client.Capabilities(ctx)
	if err != nil || caps.Has(name) {
		return err
	}
	return lacks(t.Name, caps, name, instead)
}

// lacks is the error for what a Viewer cannot do.
func lacks(viewer string, caps *restclient.Capabilities, name restclient.Capability, instead string) error {
	return &restclient.Error{
		Kind: restclient.KindUnsupported, Viewer: viewer, Capability: name,
		ViewerVersion: caps.Version, Instead: instead,
	}
}

// checkNewPath refuses what Viewer 0.7.2 refuses, and what it would take for
// another path than it says.
func checkNewPath(path string) error {
	switch {
	case strings.TrimSpace(path) != path || strings.Trim(path, "/") != path:
		return invalid("path", "must not begin or end with a slash or a space")
	case strings.Contains(path, "..") || strings.Contains(path, "//") || strings.ContainsAny(path, "\\:<>|*?"):
		return invalid("path", "must not hold \"..\", an empty segment or any of \\ : < > | * ?")
	}
	return nil
}

// checkEtag compares an etag of the request with that of the moment.
func (d *Deps) checkEtag(ctx context.Context, t target, etag string) error {
	if etag == "" {
		return nil
	}
	t.Client.InvalidateRuns() // a shared list may be older than the change that counts
	now, err := d.basic(ctx, t)
	if err != nil {
		return err
	}
	if now.GetEtag() == etag {
		return nil
	}
	return &failure{
		code: codes.Aborted, reason: runicornv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH,
		message:  "the experiment has changed since it was read: read it again, and decide anew",
		metadata: map[string]string{"viewer": t.Name, "run_id": t.runID, "etag": now.GetEtag()},
	}
}

// update changes what is set. The move comes first because it is what a
// Viewer may still refuse.
func update(ctx context.Context, t target, req *runicornv1.UpdateExperimentRequest) error {
	if req.Path != nil {
		if err := move(ctx, t, req.GetPath()); err != nil {
			return err
		}
	}
	if req.Alias == nil && req.GetTags() == nil {
		return nil
	}
	patch := restclient.RunPatch{Alias: req.Alias}
	if req.GetTags() != nil {
		tags := append([]string{}, req.GetTags().GetTags()...)
		patch.Tags = &tags
	}
	_, err := t.Client.PatchRun(ctx, t.runID, patch)
	if e, ok := errors.AsType[*restclient.Error](err); ok && req.Path != nil {
		said := *e
		said.Detail = strings.TrimSpace("the path was changed already; " + e.Detail)
		return &said
	}
	return err
}

// move moves one run to another path.
func move(ctx context.Context, t target, path string) error {
	moves, err := t.Client.MoveRuns(ctx, []string{t.runID}, path)
	if err != nil {
		return err
	}
	for _, failed := range moves.Failed {
		return t.Client.ItemError(t.runID, failed.Error.Value)
	}
	return nil
}
