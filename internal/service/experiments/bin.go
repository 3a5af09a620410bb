package experiments

import (
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
)

// deletedExperiment converts a run of the recycle bin.
func deletedExperiment(viewer string, run *restclient.DeletedRun) *runicornapiv1.DeletedExperiment {
	return &runicornapiv1.DeletedExperiment{
		Experiment: runs.BasicExperiment(viewer, &restclient.Run{
			ID: run.ID, Project: run.Project, Name: run.Name, Path: run.Path, Alias: run.Alias,
			CreatedTime: run.CreatedTime, Status: run.OriginalStatus,
		}, true), // the client does not say whether the bin's text was valid
		DeleteTime:   convert.Time(run.DeletedTime.Time),
		DeleteReason: convert.Text(run.DeleteReason.Value),
	}
}
