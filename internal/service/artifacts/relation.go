package artifacts

import (
	"context"
	"errors"
	"slices"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

const (
	created = runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_CREATED
	used    = runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_USED
)

// runArtifacts lists what a run produced, then what it used: artifact versions on 0.5,
// assets on later Viewers.
func runArtifacts(ctx context.Context, t target.Run) ([]*runicornapiv1.ExperimentArtifact, error) {
	artifacts, err := t.Client.RunArtifacts(ctx, t.RunID)
	switch e, ok := errors.AsType[*restclient.Error](err); {
	case ok && e.Kind == restclient.KindUnsupported:
		return runAssets(ctx, t)
	case err != nil:
		return nil, err
	case len(artifacts.Created)+len(artifacts.Used) == 0:
		return nil, nil
	}
	list, _, err := t.Client.Artifacts(ctx, "") // for the aliases: those in the run's artifacts are stale
	if err != nil {
		return nil, err
	}
	var out []*runicornapiv1.ExperimentArtifact
	for i := range artifacts.Created {
		out = append(out, runArtifactOf(created, &artifacts.Created[i], list))
	}
	for i := range artifacts.Used {
		out = append(out, runArtifactOf(used, &artifacts.Used[i], list))
	}
	return out, nil
}

// runArtifactOf converts a version that a run produced or used.
func runArtifactOf(relation runicornapiv1.ArtifactRelation, a *restclient.RunArtifact, list []restclient.Artifact) *runicornapiv1.ExperimentArtifact {
	out := &runicornapiv1.ExperimentArtifact{
		Relation: relation, Name: convert.Text(a.Name.Value), Type: convert.Text(a.Type.Value),
		Version: convert.Int32(a.Version), SizeBytes: convert.Int64(a.Size), CreateTime: convert.Time(a.CreatedTime.Time),
		Description: convert.Text(a.Description.Value), LifecycleStage: stageOf(a.Stage),
	}
	for i := range list {
		if list[i].Name.Value == a.Name.Value && list[i].Type.Value == a.Type.Value {
			out.Aliases = artifact{Artifact: list[i]}.aliasesOf(a.Version.Value)
		}
	}
	return out
}

// runAssets lists the assets that a run produced or used. Code and configuration are
// neither.
func runAssets(ctx context.Context, t target.Run) ([]*runicornapiv1.ExperimentArtifact, error) {
	assets, err := t.Client.Assets(ctx, t.RunID)
	if err != nil {
		return nil, err
	}
	var createdAssets, usedAssets []*runicornapiv1.ExperimentArtifact
	for i := range assets.Assets {
		a := &assets.Assets[i]
		out := &runicornapiv1.ExperimentArtifact{
			Name: convert.Text(a.Name.Value), Type: string(a.Kind), SizeBytes: convert.Int64(a.Size),
			CreateTime: convert.Time(a.StoredTime.Time), Description: convert.Text(a.Description.Value), AssetId: assetIDOf(assetKind, t.RunID, a.ID),
		}
		switch a.Kind {
		case restclient.AssetOutput:
			out.Relation = created
			createdAssets = append(createdAssets, out)
		case restclient.AssetDataset, restclient.AssetPretrained:
			out.Relation = used
			usedAssets = append(usedAssets, out)
		}
	}
	return append(createdAssets, usedAssets...), nil
}

// withRelation filters a list by relation, in place; UNSPECIFIED selects all.
func withRelation(all []*runicornapiv1.ExperimentArtifact, relation runicornapiv1.ArtifactRelation) []*runicornapiv1.ExperimentArtifact {
	return slices.DeleteFunc(all, func(a *runicornapiv1.ExperimentArtifact) bool {
		return relation != runicornapiv1.ArtifactRelation_ARTIFACT_RELATION_UNSPECIFIED && a.GetRelation() != relation
	})
}
