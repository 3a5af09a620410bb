package experiments

import (
	"context"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/fleet"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/page"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// deletedExperiment converts a run of the recycle bin.
func deletedExperiment(viewer string, run *restclient.DeletedRun) *runicornapiv1.DeletedExperiment {
	return &runicornapiv1.DeletedExperiment{
		Experiment: runs.BasicExperiment(viewer, &restclient.Run{
			ID: run.ID, Project: run.Project, Name: run.Name, Path: run.Path, Alias: run.Alias,
			CreatedTime: run.CreatedTime, Status: run.OriginalStatus,
		}, true), // restclient does not report whether the text was valid
		DeleteTime:   convert.Time(run.DeletedTime.Time),
		DeleteReason: convert.Text(run.DeleteReason.Value),
	}
}

// bins reads the recycle bins of the selected Viewers.
func (s *Service) bins(ctx context.Context, viewer string) (*target.Results[[]restclient.DeletedRun], error) {
	return target.FanOut(ctx, s.resolver, viewer, func(ctx context.Context, v *fleet.Viewer) ([]restclient.DeletedRun, error) {
		return v.Client.RecycleBin(ctx)
	})
}

// keyedDeletedRuns converts the content of bins; they are ordered by the time of
// deletion.
func keyedDeletedRuns(bins *target.Results[[]restclient.DeletedRun]) []page.Keyed[*runicornapiv1.DeletedExperiment] {
	var out []page.Keyed[*runicornapiv1.DeletedExperiment]
	for _, a := range bins.Succeeded {
		for i := range a.Value {
			run := &a.Value[i]
			at := page.At(filter.TimeValue(run.DeletedTime.Time), a.Viewer.Name, run.ID)
			out = append(out, page.Keyed[*runicornapiv1.DeletedExperiment]{Position: at, Item: deletedExperiment(a.Viewer.Name, run)})
		}
	}
	return out
}
