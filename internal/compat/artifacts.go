package compat

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// artifact is an artifact, represented by its latest version, or one version of it, in
// the names of the client's model and of the Viewer.
type artifact struct {
	ID        string         `json:"id"`
	Name      string         `json:"name"`
	Type      string         `json:"type"`
	Version   int32          `json:"version"`
	SizeBytes int64          `json:"size_bytes"`
	CreatedAt *float64       `json:"created_at"`
	UpdatedAt *float64       `json:"updated_at"`
	Aliases   any            `json:"aliases"` // of an artifact: which version each names
	Metadata  map[string]any `json:"metadata"`

	Versions *int32 `json:"num_versions,omitempty"`
	Latest   *int32 `json:"latest_version,omitempty"`

	*versionDetail
}

// versionDetail has the fields that only one version has.
type versionDetail struct {
	CreatedByRun   string   `json:"created_by_run"`
	CreatedByUser  string   `json:"created_by_user"`
	Files          int32    `json:"num_files"`
	References     int32    `json:"num_references"`
	Status         string   `json:"status"`
	Description    string   `json:"description"`
	Tags           []string `json:"tags"`
	ManifestDigest string   `json:"manifest_digest"`
	Stage          string   `json:"lifecycle_stage,omitempty"`
	Missing        []string `json:"missing,omitempty"`
}

// listArtifacts lists artifacts by name. For a Viewer whose generation has no artifacts
// the list is empty, so that the documentation's third example continues.
func (c *compat) listArtifacts(ctx context.Context, in *input) (answer, error) {
	win, err := in.window()
	if err != nil {
		return nil, err
	}
	found, err := readWindow(ctx, c.artifacts.ListArtifacts, &runicornapiv1.ListArtifactsRequest{Type: in.query.Get("type")},
		(*runicornapiv1.ListArtifactsResponse).GetArtifacts, win, nil)
	if err != nil && !hasReason(err, reasonViewerLacksCapability) {
		return nil, err
	}
	return listed("artifacts", found, artifactOf), nil
}

// getArtifact gets one version, by name:vN, name:N, name:alias or name.
func (c *compat) getArtifact(ctx context.Context, in *input) (answer, error) {
	resp, err := c.artifacts.GetArtifact(ctx, &runicornapiv1.GetArtifactRequest{Name: in.id})
	if err != nil {
		return nil, noArtifacts(err)
	}
	return document{versionOf(resp.GetArtifactVersion())}, nil
}

// listVersions lists the versions of an artifact, newest first, as in the documentation's
// third example.
func (c *compat) listVersions(ctx context.Context, in *input) (answer, error) {
	versions, err := readWindow(ctx, c.artifacts.ListArtifactVersions, &runicornapiv1.ListArtifactVersionsRequest{Name: in.id},
		(*runicornapiv1.ListArtifactVersionsResponse).GetArtifactVersions, window{}, nil)
	if err != nil {
		return nil, noArtifacts(err)
	}
	return listed("versions", versions, versionOf), nil
}

// lineage gets the producer and the users of a version, in the Viewer's form.
func (c *compat) lineage(ctx context.Context, in *input) (answer, error) {
	resp, err := c.artifacts.GetArtifactLineage(ctx, &runicornapiv1.GetArtifactLineageRequest{Name: in.id})
	if err != nil {
		return nil, noArtifacts(err)
	}
	nodes := convertAll(resp.GetNodes(), func(n *runicornapiv1.LineageNode) map[string]any {
		kind := "artifact"
		if n.GetType() == runicornapiv1.LineageNodeType_LINEAGE_NODE_TYPE_EXPERIMENT {
			kind = "run"
		}
		return map[string]any{"node_type": kind, "node_id": n.GetNodeId(), "label": n.GetLabel(), "metadata": plainValues(n.GetMetadata())}
	})
	edges := convertAll(resp.GetEdges(), func(e *runicornapiv1.LineageEdge) map[string]any {
		return map[string]any{"source": e.GetSource(), "target": e.GetTarget(), "edge_type": enumName(e.GetType().String(), "LINEAGE_EDGE_TYPE_")}
	})
	return document{map[string]any{"root_artifact": resp.GetRootNodeId(), "nodes": nodes, "edges": edges}}, nil
}

// relations are the words of the client.
var relations = map[string]runicornapiv1.ArtifactRelation{
	"":        runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_UNSPECIFIED,
	"created": runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_CREATED,
	"used":    runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_USED,
}

// experimentArtifacts lists what an experiment produced and used: artifacts, or on later
// generations assets, which have no version.
func (c *compat) experimentArtifacts(ctx context.Context, in *input) (answer, error) {
	relation, ok := relations[in.query.Get("relation")]
	if !ok {
		return nil, invalid("relation must be created or used")
	}
	artifacts, err := readWindow(ctx, c.artifacts.ListExperimentArtifacts,
		&runicornapiv1.ListExperimentArtifactsRequest{RunId: in.id, Relation: relation},
		(*runicornapiv1.ListExperimentArtifactsResponse).GetArtifacts, window{}, nil)
	if err != nil {
		return nil, err
	}
	return listed("artifacts", artifacts, func(a *runicornapiv1.ExperimentArtifact) map[string]any {
		return map[string]any{
			"relation": enumName(a.GetRelation().String(), "ARTIFACT_RELATION_"), "name": a.GetName(), "type": a.GetType(),
			"version": a.Version, "size_bytes": a.SizeBytes, "created_at": seconds(a.GetCreateTime()),
			"description": a.GetDescription(), "aliases": texts(a.GetAliases()),
			"lifecycle_stage": enumName(a.GetLifecycleStage().String(), "LIFECYCLE_STAGE_"), "asset_id": a.GetAssetId(),
		}
	}), nil
}

// noArtifacts maps "this generation has no artifacts" to "not found", for requests that
// name an artifact.
func noArtifacts(err error) error {
	if !hasReason(err, reasonViewerLacksCapability) {
		return err
	}
	return &problem{
		status: http.StatusNotFound, Reason: reasonViewerLacksCapability,
		Detail: "this Viewer's generation has no artifacts; GET /api/experiments/{run_id}/artifacts lists what an experiment made and used",
	}
}

// artifactOf converts an artifact of the list.
func artifactOf(a *runicornapiv1.Artifact) artifact {
	aliases := a.GetAliases()
	if aliases == nil {
		aliases = map[string]int32{}
	}
	return artifact{
		ID: artifactID(a.GetName(), a.GetLatestVersion()), Name: a.GetName(), Type: a.GetType(), Version: a.GetLatestVersion(),
		SizeBytes: a.GetSizeBytes(), CreatedAt: seconds(a.GetCreateTime()), UpdatedAt: seconds(a.GetUpdateTime()),
		Aliases: aliases, Metadata: map[string]any{}, Versions: &a.VersionCount, Latest: &a.LatestVersion,
	}
}

// versionOf converts a version.
func versionOf(v *runicornapiv1.ArtifactVersion) artifact {
	out := artifact{
		ID: artifactID(v.GetName(), v.GetVersion()), Name: v.GetName(), Type: v.GetType(), Version: v.GetVersion(),
		SizeBytes: v.GetSizeBytes(), CreatedAt: seconds(v.GetCreateTime()), UpdatedAt: seconds(v.GetUpdateTime()),
		Aliases: texts(v.GetAliases()), Metadata: plainValues(v.GetMetadata()),
		versionDetail: &versionDetail{
			CreatedByRun: v.GetCreatedByRunId(), CreatedByUser: v.GetCreatedByUser(),
			Files: v.GetFileCount(), References: v.GetReferenceCount(), Status: v.GetStatus(),
			Description: v.GetDescription(), Tags: texts(v.GetTags()), ManifestDigest: v.GetManifestDigest(),
			Stage: enumName(v.GetLifecycleStage().String(), "LIFECYCLE_STAGE_"),
		},
	}
	for _, part := range v.GetMissing() {
		out.Missing = append(out.Missing, part.GetField())
	}
	return out
}

// artifactID is the documented id.
func artifactID(name string, version int32) string { return fmt.Sprintf("%s:v%d", name, version) }

// enumName returns the Viewer's word for a value of an enum; the unspecified value is
// empty.
func enumName(name, prefix string) string {
	word := strings.ToLower(strings.TrimPrefix(name, prefix))
	if word == "unspecified" {
		return ""
	}
	return word
}
