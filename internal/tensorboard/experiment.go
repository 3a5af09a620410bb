package tensorboard

import (
	"cmp"
	"context"
	"slices"
	"strings"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// GetExperiment describes a scope, and names the Viewers that are omitted.
func (s *Server) GetExperiment(ctx context.Context, req *tensorboardpb.GetExperimentRequest) (*tensorboardpb.GetExperimentResponse, error) {
	return share(ctx, s, req, func(ctx context.Context, req *tensorboardpb.GetExperimentRequest) (*tensorboardpb.GetExperimentResponse, error) {
		l, err := s.list(ctx, req.GetExperimentId())
		if err != nil {
			return nil, err
		}
		out := &tensorboardpb.GetExperimentResponse{
			DataLocation: "Runicorn: " + cmp.Or(strings.Join(l.viewers, ", "), "no viewer is reachable"),
			Name:         cmp.Or(strings.ReplaceAll(l.scope, pathSeparator, "/"), "All viewers"),
		}
		if len(l.missing) > 0 {
			out.Description = "Omitted: " + strings.Join(l.missing, "; ")
		}
		for _, r := range slices.Backward(l.runs) { // the oldest first; runs without a creation time are skipped
			if out.CreationTime = convert.Time(r.Listed.CreatedTime.Time); out.CreationTime != nil {
				break
			}
		}
		return out, nil
	})
}

// ListPlugins lists all supported plugins: which of them have data would require a read of
// every run.
func (s *Server) ListPlugins(ctx context.Context, req *tensorboardpb.ListPluginsRequest) (*tensorboardpb.ListPluginsResponse, error) {
	if _, err := s.list(ctx, req.GetExperimentId()); err != nil {
		return nil, err
	}
	out := &tensorboardpb.ListPluginsResponse{}
	for _, name := range []string{pluginScalars, pluginImages, pluginText, pluginHParams} {
		out.Plugins = append(out.Plugins, &tensorboardpb.PluginEntry{Name: name})
	}
	return out, nil
}

// ListRuns lists the runs of a scope, the newest first.
func (s *Server) ListRuns(ctx context.Context, req *tensorboardpb.ListRunsRequest) (*tensorboardpb.ListRunsResponse, error) {
	return share(ctx, s, req, func(ctx context.Context, req *tensorboardpb.ListRunsRequest) (*tensorboardpb.ListRunsResponse, error) {
		l, err := s.list(ctx, req.GetExperimentId())
		if err != nil {
			return nil, err
		}
		out := &tensorboardpb.ListRunsResponse{}
		for _, r := range l.runs {
			out.Runs = append(out.Runs, &tensorboardpb.RunEntry{Name: r.name, StartTime: r.created()})
		}
		return out, nil
	})
}
