package tensorboard

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// GetExperiment describes a scope, and names the Viewers that are left out.
func (s *Server) GetExperiment(ctx context.Context, req *tensorboardpb.GetExperimentRequest) (*tensorboardpb.GetExperimentResponse, error) {
	return share(ctx, s, req, func(ctx context.Context, req *tensorboardpb.GetExperimentRequest) (*tensorboardpb.GetExperimentResponse, error) {
		l, err := s.list(ctx, req.GetExperimentId())
		if err != nil {
			return nil, err
		}
		out := &tensorboardpb.GetExperimentResponse{
			DataLocation: "Runicorn: " + cmp.Or(strings.Join(l.viewers, ", "), "no viewer answers"),
			Name:         cmp.Or(strings.ReplaceAll(l.scope, pathSeparator, "/"), "All viewers"),
		}
		if len(l.missing) > 0 {
			out.Description = "Left out: " + strings.Join(l.missing, "; ")
		}
		if len(l.runs) > 0 {
			oldest := slices.MinFunc(l.runs, func(a, b *run) int { return age(a).Compare(age(b)) })
			out.CreationTime = convert.Time(oldest.Listed.CreatedTime.Time)
		}
		return out, nil
	})
}

// age is when a run began; unknown times are last.
func age(r *run) time.Time {
	if r.Listed.CreatedTime.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return r.Listed.CreatedTime.Time
}

// ListPlugins names the dashboards that can have something to show. They are always the
// same: which of them have is a matter of reading every run.
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
