package experiments

import (
	"context"
	"errors"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// experimentUpdate is a parsed update; nil fields are not changed.
type experimentUpdate struct {
	alias *string
	tags  *[]string
	path  *string
	etag  string
}

// newUpdate parses an update of the fields in the mask, or without a mask of the fields
// that are not empty. The mask may name the fields that identify the experiment and the
// etag, as clients that send back what they read, and HTTP, do.
func newUpdate(req *runicornapiv1.UpdateExperimentRequest) (*experimentUpdate, error) {
	e := req.GetExperiment()
	u := &experimentUpdate{etag: e.GetEtag()}
	paths := req.GetUpdateMask().GetPaths()
	if len(paths) == 0 {
		paths = setFields(e)
	}
	if slices.Contains(paths, "*") {
		paths = slices.Concat(paths, []string{"alias", "tags", "path"})
	}
	for _, field := range paths {
		switch field {
		case "alias":
			u.alias = new(e.GetAlias())
		case "tags":
			u.tags = new(append([]string{}, e.GetTags()...))
		case "path":
			u.path = new(e.GetPath())
		case "*", "viewer", "run_id", "resource_name", "etag":
		default:
			return nil, apierr.Invalid("update_mask", "must name alias, tags or path: %q cannot be changed", field)
		}
	}
	if u.alias == nil && u.tags == nil && u.path == nil {
		return nil, apierr.Invalid("update_mask", "must name alias, tags or path: there is nothing to change")
	}
	return u, nil
}

// setFields returns the fields that an update without a mask changes.
func setFields(e *runicornapiv1.Experiment) (fields []string) {
	if e.Alias != nil {
		fields = append(fields, "alias")
	}
	if len(e.GetTags()) > 0 {
		fields = append(fields, "tags")
	}
	if e.GetPath() != "" {
		fields = append(fields, "path")
	}
	return fields
}

// mayUpdate checks everything before anything is changed, so that no update is applied in
// part.
func (s *Service) mayUpdate(ctx context.Context, t target.Run, u *experimentUpdate) error {
	if err := checkSDKForm("experiment.run_id", t.RunID); err != nil {
		return err
	}
	if u.path != nil {
		if err := checkNewPath(*u.path); err != nil {
			return err
		}
		if err := requireCapability(ctx, t, restclient.CapMoveRuns, "set the path when the run is started"); err != nil {
			return err
		}
	}
	if u.alias != nil || u.tags != nil {
		if err := requireCapability(ctx, t, restclient.CapPatchRun, "set alias and tags when the run is started, on Viewers of 0.6 or later"); err != nil {
			return err
		}
	}
	return s.checkEtag(ctx, t, u.etag)
}

// requireCapability returns an error if the run's Viewer is known to lack a capability.
func requireCapability(ctx context.Context, t target.Run, name restclient.Capability, instead string) error {
	caps, err := t.Client.Capabilities(ctx)
	if err != nil || caps.Has(name) {
		return err
	}
	return unsupportedError(t.Name, caps, name, instead)
}

// unsupportedError is the error for a capability that a Viewer lacks.
func unsupportedError(viewer string, caps *restclient.Capabilities, name restclient.Capability, instead string) error {
	return &restclient.Error{
		Kind: restclient.KindUnsupported, Viewer: viewer, Capability: name,
		ViewerVersion: caps.Version, Alternative: instead,
	}
}

// checkNewPath refuses the paths that Viewer 0.7.2 refuses, and those that it would
// change.
func checkNewPath(path string) error {
	switch {
	case path == "":
		return apierr.Invalid("experiment.path", "must not be empty")
	case strings.TrimSpace(path) != path || strings.Trim(path, "/") != path:
		return apierr.Invalid("experiment.path", "must not begin or end with a slash or a space")
	case strings.Contains(path, "..") || strings.Contains(path, "//") || strings.ContainsAny(path, "\\:<>|*?"):
		return apierr.Invalid("experiment.path", "must not hold \"..\", an empty segment or any of \\ : < > | * ?")
	}
	return nil
}

// checkEtag compares the etag of the request with the current one.
func (s *Service) checkEtag(ctx context.Context, t target.Run, etag string) error {
	if etag == "" {
		return nil
	}
	t.Client.InvalidateRuns() // a shared list may be older than the latest change
	current, err := runs.Basic(ctx, t)
	if err != nil {
		return err
	}
	if current.GetEtag() == etag {
		return nil
	}
	return &apierr.Error{
		Code: codes.Aborted, Reason: runicornapiv1.ErrorReason_ERROR_REASON_ETAG_MISMATCH,
		Message:  "the experiment has changed since it was read: read it again, then repeat the update",
		Metadata: map[string]string{"viewer": t.Name, "run_id": t.RunID, "etag": current.GetEtag()},
	}
}

// update applies an update. The move comes first because the Viewer may still refuse it.
func update(ctx context.Context, t target.Run, u *experimentUpdate) error {
	if u.path != nil {
		if err := move(ctx, t, *u.path); err != nil {
			return err
		}
	}
	if u.alias == nil && u.tags == nil {
		return nil
	}
	_, err := t.Client.PatchRun(ctx, t.RunID, restclient.RunPatch{Alias: u.alias, Tags: u.tags})
	if e, ok := errors.AsType[*restclient.Error](err); ok && u.path != nil {
		withDetail := *e
		withDetail.Detail = strings.TrimSpace("the path was changed already; " + e.Detail)
		return &withDetail
	}
	return err
}

// move moves one run to another path.
func move(ctx context.Context, t target.Run, path string) error {
	moves, err := t.Client.MoveRuns(ctx, []string{t.RunID}, path)
	if err != nil {
		return err
	}
	for _, failed := range moves.Failed {
		return t.Client.ItemError(t.RunID, failed.Error.Value)
	}
	return nil
}
