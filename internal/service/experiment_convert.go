package service

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// statuses are the Viewer's words for where a run stands. The bin of 0.5.3
// says "unknown" of a run whose status it lost.
var statuses = map[string]runicornapiv1.ExperimentStatus{
	"":            runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"unknown":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED,
	"running":     runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING,
	"finished":    runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED,
	"failed":      runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED,
	"interrupted": runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED,
}

// experimentStatus converts a Viewer's word; one that a training script made
// up is OTHER.
func experimentStatus(text string) runicornapiv1.ExperimentStatus {
	if s, ok := statuses[text]; ok {
		return s
	}
	return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER
}

// runPath is where a run is, as project, name and path, for every generation of Viewers.
type runPath struct {
	project, name, path string
}

// runPathOf makes project and name (0.5) of a path (0.6 and later), or the path
// of them.
func runPathOf(run *restclient.Run) runPath {
	if run.Path.Known {
		project, name, _ := strings.Cut(run.Path.Value, "/")
		return runPath{project: project, name: name, path: run.Path.Value}
	}
	p := runPath{project: run.Project.Value, name: run.Name.Value}
	p.path = strings.Trim(p.project+"/"+p.name, "/")
	return p
}

// basicExperiment converts what the list has of a run. Lossy says whether the
// answer that it came in had bytes that were not UTF-8.
func basicExperiment(viewer string, run *restclient.Run, lossy bool) *runicornapiv1.Experiment {
	p := runPathOf(run)
	e := &runicornapiv1.Experiment{
		Viewer:               viewer,
		RunId:                validText(run.ID),
		ResourceName:         validText(resourceName(viewer, run.ID)),
		Project:              validText(p.project),
		Name:                 validText(p.name),
		Path:                 validText(p.path),
		Status:               experimentStatus(run.Status.Value),
		ViewerStatus:         validText(run.Status.Value),
		CreateTime:           timeOf(run.CreatedTime.Time),
		UpdateTime:           timeOf(run.CreatedTime.Time),
		BestMetric:           bestMetric(run),
		ProcessId:            int64Of(run.PID),
		CreatedArtifactCount: int32Of(run.ArtifactsCreated),
		UsedArtifactCount:    int32Of(run.ArtifactsUsed),
		AssetCount:           int32Of(run.Assets),
		View:                 runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC,
	}
	if run.Alias.Value != "" {
		e.Alias = new(validText(run.Alias.Value))
	}
	for _, tag := range run.Tags {
		e.Tags = append(e.Tags, validText(tag.Value))
	}
	e.LossyText = lossy && hasReplacementChar(slices.Concat([]string{e.Path, e.GetAlias(), e.RunId, e.ViewerStatus}, e.Tags)...)
	e.Etag = etagOf(e)
	return e
}

// bestMetric converts the best metric of the list, which is null where the
// best value is not finite.
func bestMetric(run *restclient.Run) *runicornapiv1.BestMetric {
	if !run.BestMetricName.Known {
		return nil
	}
	best := &runicornapiv1.BestMetric{MetricName: validText(run.BestMetricName.Value)}
	if run.BestMetricValue.Known {
		best.Value = finite(restclient.Value{Kind: restclient.ValueNumber, Number: run.BestMetricValue.Value})
	}
	return best
}

// etagOf hashes the fields of a BASIC experiment. Every replica of one build
// makes the same; after an upgrade an etag may differ without a change.
func etagOf(e *runicornapiv1.Experiment) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return "" // only text that is not UTF-8, which none of it is
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// deletedExperiment converts a run of the recycle bin.
func deletedExperiment(viewer string, run *restclient.DeletedRun) *runicornapiv1.DeletedExperiment {
	return &runicornapiv1.DeletedExperiment{
		Experiment: basicExperiment(viewer, &restclient.Run{
			ID: run.ID, Project: run.Project, Name: run.Name, Path: run.Path, Alias: run.Alias,
			CreatedTime: run.CreatedTime, Status: run.OriginalStatus,
		}, true), // the client does not say whether the bin's text was valid
		DeleteTime:   timeOf(run.DeletedTime.Time),
		DeleteReason: validText(run.DeleteReason.Value),
	}
}
