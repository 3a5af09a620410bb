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

// runPath is the location of a run as project, name and path, for all generations of
// Viewers.
type runPath struct {
	Project, Name, Path string
}

// runPathOf derives project and name (0.5) from a path (0.6 and later), or the path from
// them.
func runPathOf(run *restclient.Run) runPath {
	if run.Path.Known {
		project, name, _ := strings.Cut(run.Path.Value, "/")
		return runPath{Project: project, Name: name, Path: run.Path.Value}
	}
	p := runPath{Project: run.Project.Value, Name: run.Name.Value}
	p.Path = strings.Trim(p.Project+"/"+p.Name, "/")
	return p
}

// BasicExperiment converts a run of a list. Lossy tells whether the response with the
// list had bytes that were not UTF-8.
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
	e.LossyText = lossy && strings.ContainsRune(strings.Join(slices.Concat([]string{e.Path, e.GetAlias(), e.RunId, e.ViewerStatus}, e.Tags), ""), '\uFFFD')
	e.Etag = etagOf(e)
	fit(e)
	return e
}

// fit removes from an experiment what does not fit into a message, and records that in
// missing.
func fit(e *runicornapiv1.Experiment) {
	const reserved = 64 << 10 // for the entries in missing
	for _, part := range answer.Fit(e, answer.MaxSize-reserved) {
		addMissing(context.Background(), e, answer.PartTooLarge(part), part)
	}
}

// bestMetric converts the best metric of the list, which is null if the best value is not
// finite.
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

// etagOf hashes the fields of a BASIC experiment. All replicas of one build agree; after
// an upgrade the etag may differ without a change.
func etagOf(e *runicornapiv1.Experiment) string {
	text, err := proto.MarshalOptions{Deterministic: true}.Marshal(e)
	if err != nil {
		return "" // only for text that is not UTF-8, which was replaced
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}
