package artifacts

import (
	"context"
	"errors"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
)

// versions lists the versions of the artifact, newest first.
func (a artifact) versions(ctx context.Context) ([]*runicornapiv1.ArtifactVersion, error) {
	all, _, err := a.Client.ArtifactVersions(ctx, a.Artifact.Name.Value, a.Type.Value)
	if err != nil {
		return nil, err
	}
	out := make([]*runicornapiv1.ArtifactVersion, 0, len(all))
	for i := range all {
		out = append(out, versionOf(a, &all[i]))
	}
	slices.SortStableFunc(out, func(a, b *runicornapiv1.ArtifactVersion) int { return int(b.GetVersion()) - int(a.GetVersion()) })
	return out, nil
}

// detail reads the version.
func (v artifactVersion) detail(ctx context.Context) (*runicornapiv1.ArtifactVersion, error) {
	version, err := v.Client.ArtifactVersion(ctx, v.ref())
	switch {
	case isPromoted(err):
		return v.promoted(ctx, err)
	case err != nil:
		return nil, err
	}
	return versionOf(v.artifact, version), nil
}

// files lists the files of the version. Those of a promoted version cannot be read: there
// is only one route, and it fails.
func (v artifactVersion) files(ctx context.Context) (*runicornapiv1.ListArtifactFilesResponse, error) {
	files, err := v.Client.ArtifactFiles(ctx, v.ref())
	switch {
	case isPromoted(err):
		return nil, unreadableError(v, err)
	case err != nil:
		return nil, err
	}
	return filesOf(v.id(), files), nil
}

// isPromoted reports whether a version cannot be read because it was promoted.
func isPromoted(err error) bool {
	e, ok := errors.AsType[*restclient.Error](err)
	return ok && e.Promoted
}

// unreadableError is the error for the files and details of a promoted version.
func unreadableError(v artifactVersion, cause error) error {
	return &apierr.Error{
		Code: codes.FailedPrecondition, Reason: runicornapiv1.ErrorReason_ERROR_REASON_STATE_CONFLICT,
		Message: "viewer " + v.Viewer.Name + ": " + v.id() +
			" was promoted, and this release can no longer read the files and details of a promoted version (a defect of the release)",
		Metadata: map[string]string{"viewer": v.Viewer.Name, "artifact_id": v.id()}, Cause: cause,
	}
}

// promoted assembles a promoted version from what can still be read: the list of
// versions, and the artifacts of the run that produced it, which also have its stage.
// Everything else is reported in missing.
func (v artifactVersion) promoted(ctx context.Context, cause error) (*runicornapiv1.ArtifactVersion, error) {
	all, err := v.versions(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(other *runicornapiv1.ArtifactVersion) bool { return int64(other.GetVersion()) == v.number })
	if i < 0 {
		return nil, restclient.NotFound(v.Viewer.Name, "artifact", v.id(), "")
	}
	out := all[i]
	missing := []string{"update_time", "created_by_user", "reference_count", "metadata", "tags", "manifest_digest"}
	runArtifact, err := v.runArtifact(ctx, out.GetCreatedByRunId())
	switch {
	case err == nil:
		out.LifecycleStage, out.Description = stageOf(runArtifact.Stage), convert.Text(runArtifact.Description.Value)
	case ctx.Err() != nil:
		return nil, err
	default:
		missing = append(missing, "description", "lifecycle_stage")
	}
	st := errmap.Status(ctx, unreadableError(v, cause)).Proto()
	for _, field := range missing {
		out.Missing = append(out.Missing, &runicornapiv1.MissingPart{Field: field, Error: proto.CloneOf(st)})
	}
	return out, nil
}

// runArtifact finds the version among those that its run produced.
func (v artifactVersion) runArtifact(ctx context.Context, runID string) (*restclient.RunArtifact, error) {
	all, err := v.Client.RunArtifacts(ctx, runID)
	if err != nil {
		return nil, err
	}
	for i := range all.Created {
		if made := &all.Created[i]; made.Name.Value == v.Artifact.Name.Value && made.Version.Value == v.number {
			return made, nil
		}
	}
	return nil, restclient.NotFound(v.Viewer.Name, "artifact", v.id(), "")
}
