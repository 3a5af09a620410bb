package runs

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/answer"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// runPath is where a run is, as project, name and path, for every generation of Viewers.
type runPath struct {
	Project, Name, Path string
}

// runPathOf makes project and name (0.5) of a path (0.6 and later), or the path
// of them.
func runPathOf(run *restclient.Run) runPath {
	if run.Path.Known {
		project, name, _ := strings.Cut(run.Path.Value, "/")
		return runPath{Project: project, Name: name, Path: run.Path.Value}
	}
	p := runPath{Project: run.Project.Value, Name: run.Name.Value}
	p.Path = strings.Trim(p.Project+"/"+p.Name, "/")
	return p
}

// BasicExperiment converts what the list has of a run. Lossy says whether the
// answer that it came in had bytes that were not UTF-8.
func BasicExperiment(viewer string, run *restclient.Run, lossy bool) *runicornapiv1.Experiment {
	p := runPathOf(run)
	e := &runicornapiv1.Experiment{
		Viewer:               viewer,
		RunId:                convert.Text(run.ID),
		ResourceName:         convert.Text(target.ResourceName(viewer, run.ID)),
		Project:              convert.Text(p.Project),
		Name:                 convert.Text(p.Name),
		Path:                 convert.Text(p.Path),
		Status:               convert.Status(run.Status.Value),
		ViewerStatus:         convert.Text(run.Status.Value),
		CreateTime:           convert.Time(run.CreatedTime.Time),
		UpdateTime:           convert.Time(run.CreatedTime.Time),
		BestMetric:           bestMetric(run),
		ProcessId:            convert.Int64(run.PID),
		CreatedArtifactCount: convert.Int32(run.ArtifactsCreated),
		UsedArtifactCount:    convert.Int32(run.ArtifactsUsed),
		AssetCount:           convert.Int32(run.Assets),
		View:                 runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC,
	}
	if run.Alias.Value != "" {
		e.Alias = new(convert.Text(run.Alias.Value))
	}
	for _, tag := range run.Tags {
		e.Tags = append(e.Tags, convert.Text(tag.Value))
	}
	e.LossyText = lossy && convert.HasReplacementChar(slices.Concat([]string{e.Path, e.GetAlias(), e.RunId, e.ViewerStatus}, e.Tags)...)
	e.Etag = etagOf(e)
	fit(e)
	return e
}

// fit leaves out of an experiment what no message can hold, and says so.
func fit(e *runicornapiv1.Experiment) {
	const room = 64 << 10 // for what says so
	for _, part := range answer.Fit(e, answer.MaxSize-room) {
		addMissing(context.Background(), e, answer.PartTooLarge(part), part)
	}
}

// bestMetric converts the best metric of the list, which is null where the
// best value is not finite.
func bestMetric(run *restclient.Run) *runicornapiv1.BestMetric {
	if !run.BestMetricName.Known {
		return nil
	}
	best := &runicornapiv1.BestMetric{MetricName: convert.Text(run.BestMetricName.Value)}
	if run.BestMetricValue.Known {
		best.Value = convert.Finite(restclient.Value{Kind: restclient.ValueNumber, Number: run.BestMetricValue.Value})
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
