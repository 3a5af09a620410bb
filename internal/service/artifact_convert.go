package service

import (
	"maps"
	"slices"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// artifactOf converts one artifact of the list.
func artifactOf(viewer string, a *restclient.Artifact) *runicornapiv1.Artifact {
	out := &runicornapiv1.Artifact{
		Viewer: viewer, Name: validText(a.Name.Value), Type: validText(a.Type.Value),
		VersionCount: clamp32(a.Versions.Value), LatestVersion: clamp32(a.LatestVersion.Value), SizeBytes: a.Size.Value,
		CreateTime: timeOf(a.CreatedTime.Time), UpdateTime: timeOf(a.UpdatedTime.Time),
		Aliases: make(map[string]int32, len(a.Aliases)),
	}
	for alias, version := range a.Aliases {
		out.Aliases[validText(alias)] = clamp32(version.Value)
	}
	return out
}

// versionOf converts one version. The list of versions leaves out name and
// type, which the artifact has.
func versionOf(a artifact, v *restclient.ArtifactVersion) *runicornapiv1.ArtifactVersion {
	name := a.Artifact.Name.Value
	out := &runicornapiv1.ArtifactVersion{
		Viewer: a.Viewer.Name, ArtifactId: versionID(name, v.Version.Value), Name: validText(name),
		Type: validText(a.Type.Value), Version: clamp32(v.Version.Value),
		CreateTime: timeOf(v.CreatedTime.Time), UpdateTime: timeOf(v.UpdatedTime.Time),
		CreatedByRunId: validText(v.CreatedByRun.Value), CreatedByUser: validText(v.CreatedByUser.Value),
		SizeBytes: v.Size.Value, FileCount: clamp32(v.Files.Value), ReferenceCount: clamp32(v.References.Value),
		Status: validText(v.Status.Value), Metadata: valuesOf(v.Metadata), Description: validText(v.Description.Value),
		Aliases: a.aliasesOf(v.Version.Value), ManifestDigest: validText(v.ManifestDigest.Value),
	}
	for _, tag := range v.Tags {
		out.Tags = append(out.Tags, validText(tag))
	}
	return out
}

// filesOf converts what a version is made of.
func filesOf(id string, files *restclient.ArtifactFiles) *runicornapiv1.ListArtifactFilesResponse {
	out := &runicornapiv1.ListArtifactFilesResponse{ArtifactId: id, TotalSizeBytes: files.TotalSize.Value}
	for i := range files.Files {
		f := &files.Files[i]
		out.Files = append(out.Files, &runicornapiv1.ArtifactFile{
			Path: validText(f.Path.Value), SizeBytes: f.Size.Value,
			Digest: validText(f.Digest.Value), ModifyTime: timeOf(f.ModifiedTime.Time),
		})
	}
	for i := range files.References {
		r := &files.References[i]
		out.References = append(out.References, &runicornapiv1.ArtifactReference{
			Uri: validText(string(r.URI)), Checksum: validText(r.Checksum.Value),
			SizeBytes: int64Of(r.Size), Metadata: valuesOf(r.Metadata),
		})
	}
	return out
}

// edgeTypes are the Viewer's words for what an edge means.
var edgeTypes = map[string]runicornapiv1.LineageEdgeType{
	"produces": runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_PRODUCES,
	"uses":     runicornapiv1.LineageEdgeType_LINEAGE_EDGE_TYPE_USES,
}

// lineageOf converts a graph.
func lineageOf(graph *restclient.Lineage) *runicornapiv1.GetArtifactLineageResponse {
	out := &runicornapiv1.GetArtifactLineageResponse{RootNodeId: validText(graph.Root.Value)}
	for i := range graph.Nodes {
		n := &graph.Nodes[i]
		node := &runicornapiv1.LineageNode{
			NodeId: validText(n.ID.Value), Label: validText(n.Label.Value), Metadata: valuesOf(n.Metadata),
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
			Source: validText(e.Source.Value), Target: validText(e.Target.Value), Type: edgeTypes[e.Type.Value],
		})
	}
	return out
}

// statsOf converts the totals, with the types by name.
func statsOf(stats *restclient.ArtifactStats) *runicornapiv1.GetArtifactStatsResponse {
	out := &runicornapiv1.GetArtifactStatsResponse{
		ArtifactCount: clamp32(stats.Artifacts.Value), VersionCount: clamp32(stats.Versions.Value),
		SizeBytes: stats.Size.Value, FileCount: stats.Files.Value, Deduplicated: stats.Deduplicated,
		DeduplicatedSizeBytes: stats.PoolSize.Value, SavedSizeBytes: stats.SavedSize.Value,
	}
	for _, name := range slices.Sorted(maps.Keys(stats.ByType)) {
		t := stats.ByType[name]
		out.Types = append(out.Types, &runicornapiv1.ArtifactTypeStats{
			Type: validText(name), ArtifactCount: clamp32(t.Artifacts.Value),
			VersionCount: clamp32(t.Versions.Value), SizeBytes: t.Size.Value,
		})
	}
	return out
}

// stages are the Viewer's words for where a version stands in its life.
var stages = map[string]runicornapiv1.LifecycleStage{
	"experimental": runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_EXPERIMENTAL,
	"staging":      runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_STAGING,
	"production":   runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_PRODUCTION,
	"archived":     runicornapiv1.LifecycleStage_LIFECYCLE_STAGE_ARCHIVED,
}

// stageOf converts a stage; an unknown word is UNSPECIFIED.
func stageOf(word restclient.Text) runicornapiv1.LifecycleStage { return stages[word.Value] }

// promotionOf converts a request to promote.
func promotionOf(req *runicornapiv1.PromoteArtifactRequest) restclient.Promotion {
	p := restclient.Promotion{Notes: req.GetNotes(), EvaluatorRunID: req.GetEvaluatorRunId()}
	for word, stage := range stages {
		if stage == req.GetToStage() {
			p.ToStage = word
		}
	}
	return p
}
