// Package viewers serves ViewerService.
package viewers

import (
	"context"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/apierr"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
)

// Config holds what the service depends on.
type Config struct {
	Fleet *fleet.Fleet
	// Index reports its progress in reading runs.
	Index *search.Index
	// AllowConfigWrites permits UpdateConfig.
	AllowConfigWrites bool
}

// Service serves ViewerService.
type Service struct {
	runicornapiv1.UnimplementedViewerServiceServer
	config      Config
	healthCache healthCache
}

// New returns the service.
func New(c Config) *Service { return &Service{config: c} }

// ListViewers returns the state of all Viewers, after a short check of each.
func (s *Service) ListViewers(ctx context.Context, req *runicornapiv1.ListViewersRequest) (*runicornapiv1.ListViewersResponse, error) {
	page, next, err := page.InOrder(req, s.checkAll(ctx), (*runicornapiv1.Viewer).GetViewer)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.ListViewersResponse{Viewers: page, NextPageToken: next}, ctx.Err()
}

// GetViewer checks one Viewer now.
func (s *Service) GetViewer(ctx context.Context, req *runicornapiv1.GetViewerRequest) (*runicornapiv1.GetViewerResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	viewer := s.check(ctx, v, checkTimeout)
	viewer.IsDefault = s.config.Fleet.IsDefault(ctx, v)
	viewer.Search = searchProgress(s.config.Index.Stats(v))
	return &runicornapiv1.GetViewerResponse{Viewer: viewer}, ctx.Err()
}

// GetConfig reads where a Viewer keeps its data.
func (s *Service) GetConfig(ctx context.Context, req *runicornapiv1.GetConfigRequest) (*runicornapiv1.GetConfigResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	config, err := v.Client.Config(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.GetConfigResponse{Config: viewerConfig(v.Name, config)}, nil
}

// UpdateConfig changes a Viewer's storage root, if this server permits it.
func (s *Service) UpdateConfig(ctx context.Context, req *runicornapiv1.UpdateConfigRequest) (*runicornapiv1.UpdateConfigResponse, error) {
	if !s.config.AllowConfigWrites {
		return nil, apierr.Disabled("changing a viewer's configuration", "--allow-config-writes")
	}
	for _, field := range req.GetUpdateMask().GetPaths() {
		if field != "storage_root" && field != "viewer" && field != "*" {
			return nil, apierr.Invalid("update_mask", "must be storage_root: %q cannot be changed", field)
		}
	}
	v, err := s.config.Fleet.Get(ctx, req.GetConfig().GetViewer())
	if err != nil {
		return nil, err
	}
	config, err := switchRoot(ctx, v.Client, req.GetConfig().GetStorageRoot())
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.UpdateConfigResponse{Config: viewerConfig(v.Name, config)}, nil
}

// GetGpu reads the telemetry of the GPUs of a Viewer's machine.
func (s *Service) GetGpu(ctx context.Context, req *runicornapiv1.GetGpuRequest) (*runicornapiv1.GetGpuResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	gpus, err := v.Client.GPU(ctx)
	if err != nil {
		return nil, err
	}
	return gpuAnswer(gpus), nil
}

// GetSystem reads the load of a Viewer's machine.
func (s *Service) GetSystem(ctx context.Context, req *runicornapiv1.GetSystemRequest) (*runicornapiv1.GetSystemResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	system, err := v.Client.System(ctx)
	if err != nil {
		return nil, err
	}
	return systemAnswer(system), nil
}

// GetStorageStats reads the sizes of a Viewer's storage.
func (s *Service) GetStorageStats(ctx context.Context, req *runicornapiv1.GetStorageStatsRequest) (*runicornapiv1.GetStorageStatsResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	stats, err := v.Client.StorageStats(ctx)
	if err != nil {
		return nil, err
	}
	return storageAnswer(stats), nil
}

// CheckStatuses makes a Viewer check whether the processes of running experiments still
// exist.
func (s *Service) CheckStatuses(ctx context.Context, req *runicornapiv1.CheckStatusesRequest) (*runicornapiv1.CheckStatusesResponse, error) {
	v, err := s.config.Fleet.Get(ctx, req.GetViewer())
	if err != nil {
		return nil, err
	}
	found, err := v.Client.CheckStatuses(ctx)
	if err != nil {
		return nil, err
	}
	return &runicornapiv1.CheckStatusesResponse{
		CheckedCount: convert.Clamp32(found.Checked.Value), UpdatedCount: convert.Clamp32(found.Updated.Value),
		Message: convert.Text(found.Message.Value),
	}, nil
}
