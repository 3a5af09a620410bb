// Package artifacts serves ArtifactService: artifacts, assets and images, and their
// downloads.
package artifacts

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// Service serves ArtifactService.
type Service struct {
	runicornapiv1.UnimplementedArtifactServiceServer
	resolver target.Resolver
}

// New returns the service.
func New(f *fleet.Fleet) *Service { return &Service{resolver: target.Resolver{Fleet: f}} }

// ListArtifacts lists the artifacts of the selected Viewers, page by page.
func (s *Service) ListArtifacts(ctx context.Context, req *runicornapiv1.ListArtifactsRequest) (*runicornapiv1.ListArtifactsResponse, error) {
	paging, err := page.New(req)
	if err != nil {
		return nil, err
	}
	lists, err := s.listArtifacts(ctx, req.GetViewer(), req.GetType())
	if err != nil {
		return nil, err
	}
	artifacts := keyedArtifacts(lists)
	page, next := page.Paginate(paging, artifacts, false)
	return &runicornapiv1.ListArtifactsResponse{
		Artifacts: page, NextPageToken: next, Unreachable: lists.Unreachable,
		TotalSize: target.TotalSize(len(artifacts), lists.Unreachable),
	}, nil
}

// GetArtifact reads one version.
func (s *Service) GetArtifact(ctx context.Context, req *runicornapiv1.GetArtifactRequest) (*runicornapiv1.GetArtifactResponse, error) {
	v, err := s.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	version, err := v.detail(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetArtifactResponse{ArtifactVersion: version}, nil
}

// ListArtifactVersions lists the versions of an artifact.
func (s *Service) ListArtifactVersions(ctx context.Context, req *runicornapiv1.ListArtifactVersionsRequest) (*runicornapiv1.ListArtifactVersionsResponse, error) {
	a, err := s.findArtifact(ctx, req.GetViewer(), req.GetName(), req.GetType())
	if err != nil {
		return nil, err
	}
	versions, err := a.versions(ctx)
	if err != nil {
		return nil, err
	}
	page, next, err := page.InOrder(req, versions, (*runicornapiv1.ArtifactVersion).GetArtifactId)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.ListArtifactVersionsResponse{ArtifactVersions: page, NextPageToken: next}, nil
}

// ListArtifactFiles lists the files of a version.
func (s *Service) ListArtifactFiles(ctx context.Context, req *runicornapiv1.ListArtifactFilesRequest) (*runicornapiv1.ListArtifactFilesResponse, error) {
	v, err := s.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	files, err := v.files(ctx)
	if err != nil {
		return nil, err
	}
	files.Files, files.NextPageToken, err = page.InOrder(req, files.GetFiles(), (*runicornapiv1.ArtifactFile).GetPath)
	if err != nil {
		return nil, err
	}
	return answer.CheckSize(files)
}

// GetArtifactLineage reads which runs produced and used a version.
func (s *Service) GetArtifactLineage(ctx context.Context, req *runicornapiv1.GetArtifactLineageRequest) (*runicornapiv1.GetArtifactLineageResponse, error) {
	v, err := s.resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	graph, err := v.Client.Lineage(ctx, v.ref(), int(req.GetMaxDepth()))
	if err != nil {
		return nil, err
	}
	return answer.CheckSize(lineageOf(graph))
}

// ListExperimentArtifacts lists what an experiment produced and used.
func (s *Service) ListExperimentArtifacts(ctx context.Context, req *runicornapiv1.ListExperimentArtifactsRequest) (*runicornapiv1.ListExperimentArtifactsResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	all, err := runArtifacts(ctx, t)
	if err != nil {
		return nil, err
	}
	page, next, err := page.InOrder(req, withRelation(all, req.GetRelation()), func(a *runicornapiv1.ExperimentArtifact) string {
		return fmt.Sprint(a.GetRelation(), a.GetType(), "/", a.GetName(), ":", a.GetVersion(), a.GetAssetId())
	})
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.ListExperimentArtifactsResponse{Artifacts: page, NextPageToken: next}, nil
}

// GetArtifactStats counts the artifacts of a Viewer.
func (s *Service) GetArtifactStats(ctx context.Context, req *runicornapiv1.GetArtifactStatsRequest) (*runicornapiv1.GetArtifactStatsResponse, error) {
	v, err := s.resolver.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	stats, err := v.Client.ArtifactStats(ctx)
	if err != nil {
		return nil, err
	}
	return statsOf(stats), nil
}

// PromoteArtifact moves a version to another stage.
func (s *Service) PromoteArtifact(ctx context.Context, req *runicornapiv1.PromoteArtifactRequest) (*runicornapiv1.PromoteArtifactResponse, error) {
	v, err := s.resolveExact(ctx, req)
	if err != nil {
		return nil, err
	}
	moved, err := v.Client.PromoteVersion(ctx, v.VersionRef, promotionOf(req))
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.PromoteArtifactResponse{
		ArtifactId: v.id(), FromStage: stageOf(moved.FromStage), ToStage: stageOf(moved.ToStage),
	}, nil
}

// DeleteArtifact marks a version as deleted, or removes it.
func (s *Service) DeleteArtifact(ctx context.Context, req *runicornapiv1.DeleteArtifactRequest) (*runicornapiv1.DeleteArtifactResponse, error) {
	v, err := s.resolveExact(ctx, req)
	if err != nil {
		return nil, err
	}
	a, err := s.findArtifact(ctx, req.GetViewer(), v.VersionRef.Name, req.GetType())
	if err != nil {
		return nil, err
	}
	v.Type = a.Type.Value // without a type, the Viewer guesses it and may delete another artifact
	if err := v.Client.DeleteVersion(ctx, v.VersionRef, req.GetPermanent()); err != nil {
		return nil, err
	}
	return &runicornapiv1.DeleteArtifactResponse{ArtifactId: v.id(), StillReadable: !req.GetPermanent()}, nil
}

// ListAssets lists the assets of an experiment and the files of its run.
func (s *Service) ListAssets(ctx context.Context, req *runicornapiv1.ListAssetsRequest) (*runicornapiv1.ListAssetsResponse, error) {
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	assets, err := listAssets(ctx, t, req.GetType())
	if err != nil {
		return nil, err
	}
	page, next, err := page.InOrder(req, assets, (*runicornapiv1.Asset).GetAssetId)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.ListAssetsResponse{Assets: page, NextPageToken: next}, nil
}

// ListImages lists the images of an experiment, page by page.
func (s *Service) ListImages(ctx context.Context, req *runicornapiv1.ListImagesRequest) (*runicornapiv1.ListImagesResponse, error) {
	paging, err := page.New(req)
	if err != nil {
		return nil, err
	}
	t, err := s.resolver.Run(ctx, req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return nil, err
	}
	images, err := listImages(ctx, t, req.GetKey())
	if err != nil {
		return nil, err
	}
	page, next := page.Paginate(paging, images, false)
	return answer.CheckSize(&runicornapiv1.ListImagesResponse{Images: page, NextPageToken: next, TotalSize: target.TotalSize(len(images), nil)})
}

// DownloadAsset sends the content of an asset, an image or a file of the run.
func (s *Service) DownloadAsset(req *runicornapiv1.DownloadAssetRequest, stream grpc.ServerStreamingServer[runicornapiv1.DownloadAssetResponse]) error {
	t, err := s.resolver.Run(stream.Context(), req.GetViewer(), "run_id", req.GetRunId())
	if err != nil {
		return err
	}
	content, err := openContent(stream.Context(), t, req)
	if err != nil {
		return err
	}
	return content.sendTo(stream)
}
