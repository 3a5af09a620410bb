package artifacts

import (
	"maps"
	"slices"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// artifactOf converts an item of the list of artifacts.
func artifactOf(viewer string, a *restclient.Artifact) *runicornapiv1.Artifact {
	out := &runicornapiv1.Artifact{
		Viewer: viewer, Name: convert.Text(a.Name.Value), Type: convert.Text(a.Type.Value),
		VersionCount: convert.Clamp32(a.Versions.Value), LatestVersion: convert.Clamp32(a.LatestVersion.Value), SizeBytes: a.Size.Value,
		CreateTime: convert.Time(a.CreatedTime.Time), UpdateTime: convert.Time(a.UpdatedTime.Time),
		Aliases: make(map[string]int32, len(a.Aliases)),
	}
	for alias, version := range a.Aliases {
		out.Aliases[convert.Text(alias)] = convert.Clamp32(version.Value)
	}
	return out
}

// versionOf converts a version. Name and type are those of the artifact: the list of
// versions leaves them out.
func versionOf(a artifact, v *restclient.ArtifactVersion) *runicornapiv1.ArtifactVersion {
	name := a.Artifact.Name.Value
	out := &runicornapiv1.ArtifactVersion{
		Viewer: a.Viewer.Name, ArtifactId: versionID(name, v.Version.Value), Name: convert.Text(name),
		Type: convert.Text(a.Type.Value), Version: convert.Clamp32(v.Version.Value),
		CreateTime: convert.Time(v.CreatedTime.Time), UpdateTime: convert.Time(v.UpdatedTime.Time),
		CreatedByRunId: convert.Text(v.CreatedByRun.Value), CreatedByUser: convert.Text(v.CreatedByUser.Value),
		SizeBytes: v.Size.Value, FileCount: convert.Clamp32(v.Files.Value), ReferenceCount: convert.Clamp32(v.References.Value),
		Status: convert.Text(v.Status.Value), Metadata: convert.Values(v.Metadata), Description: convert.Text(v.Description.Value),
		Aliases: a.aliasesOf(v.Version.Value), ManifestDigest: convert.Text(v.ManifestDigest.Value),
	}
	for _, tag := range v.Tags {
		out.Tags = append(out.Tags, convert.Text(tag))
	}
	return out
}

// filesOf converts the files and references of a version.
func filesOf(id string, files *restclient.ArtifactFiles) *runicornapiv1.ListArtifactFilesResponse {
	out := &runicornapiv1.ListArtifactFilesResponse{ArtifactId: id, TotalSizeBytes: files.TotalSize.Value}
	for i := range files.Files {
		f := &files.Files[i]
		out.Files = append(out.Files, &runicornapiv1.ArtifactFile{
			Path: convert.Text(f.Path.Value), SizeBytes: f.Size.Value,
			Digest: convert.Text(f.Digest.Value), ModifyTime: convert.Time(f.ModifiedTime.Time),
		})
	}
	for i := range files.References {
		r := &files.References[i]
		out.References = append(out.References, &runicornapiv1.ArtifactReference{
			Uri: convert.Text(string(r.URI)), Checksum: convert.Text(r.Checksum.Value),
			SizeBytes: convert.Int64(r.Size), Metadata: convert.Values(r.Metadata),
		})
	}
	return out
}

// edgeTypes maps the Viewer's words for the types of edges.
var edgeTypes = map[string]runicornapiv1.LineageEdgeType{
	"produces": runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_PRODUCES,
	"uses":     runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_USES,
}

func lineageOf(graph *restclient.Lineage) *runicornapiv1.GetArtifactLineageResponse {
	out := &runicornapiv1.GetArtifactLineageResponse{RootNodeId: convert.Text(graph.Root.Value)}
	for i := range graph.Nodes {
		n := &graph.Nodes[i]
		node := &runicornapiv1.LineageNode{
			NodeId: convert.Text(n.ID.Value), Label: convert.Text(n.Label.Value), Metadata: convert.Values(n.Metadata),
		}
		switch n.Type.Value {
		case "artifact":
			node.Type, node.ArtifactId = runicornapiv1.LineageNodeType_LINEAGE_NODE_TYPE_ARTIFACT, node.GetNodeId()
		case "run":
			node.Type = runicornapiv1.LineageNodeType_LINEAGE_NODE_TYPE_EXPERIMENT
			node.RunId = strings.TrimPrefix(node.GetNodeId(), "run:")
		}
		out.Nodes = append(out.Nodes, node)
	}
	for _, e := range graph.Edges {
		out.Edges = append(out.Edges, &runicornapiv1.LineageEdge{
			Source: convert.Text(e.Source.Value), Target: convert.Text(e.Target.Value), Type: edgeTypes[e.Type.Value],
		})
	}
	return out
}

// statsOf converts the totals; the types are sorted by name.
func statsOf(stats *restclient.ArtifactStats) *runicornapiv1.GetArtifactStatsResponse {
	out := &runicornapiv1.GetArtifactStatsResponse{
		ArtifactCount: convert.Clamp32(stats.Artifacts.Value), VersionCount: convert.Clamp32(stats.Versions.Value),
		SizeBytes: stats.Size.Value, FileCount: stats.Files.Value, Deduplicated: stats.Deduplicated,
		DeduplicatedSizeBytes: stats.PoolSize.Value, SavedSizeBytes: stats.SavedSize.Value,
	}
	for _, name := range slices.Sorted(maps.Keys(stats.ByType)) {
		t := stats.ByType[name]
		out.Types = append(out.Types, &runicornapiv1.ArtifactTypeStats{
			Type: convert.Text(name), ArtifactCount: convert.Clamp32(t.Artifacts.Value),
			VersionCount: convert.Clamp32(t.Versions.Value), SizeBytes: t.Size.Value,
		})
	}
	return out
}

// stages maps the Viewer's words for lifecycle stages.
var stages = map[string]runicornapiv1.LifecycleStage{
	"experimental": runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_EXPERIMENTAL,
	"staging":      runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_STAGING,
	"production":   runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_PRODUCTION,
	"archived":     runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_ARCHIVED,
}

// stageOf converts a stage; an unknown word is UNSPECIFIED.
func stageOf(word restclient.Text) runicornapiv1.LifecycleStage { return stages[word.Value] }

func promotionOf(req *runicornapiv1.PromoteArtifactRequest) restclient.Promotion {
	p := restclient.Promotion{Notes: req.GetNotes(), EvaluatorRunID: req.GetEvaluatorRunId()}
	for word, stage := range stages {
		if stage == req.GetToStage() {
			p.ToStage = word
		}
	}
	return p
}
