package compat

import (
	"context"
	"strings"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

// experiment is an experiment in the names of the client's model, with some additional
// fields. Times are seconds since 1970.
type experiment struct {
	ID           string `json:"id"`
	Viewer       string `json:"viewer"`
	ResourceName string `json:"resource_name"`
	Project      string `json:"project"`
	// Name has "-" instead of "/", because the documentation's second example uses it as
	// a file name.
	Name      string   `json:"name"`
	Path      string   `json:"path"`
	Alias     *string  `json:"alias"`
	Tags      []string `json:"tags"`
	Status    string   `json:"status"`
	CreatedAt *float64 `json:"created_at"`
	UpdatedAt *float64 `json:"updated_at"`

	BestMetricName  *string `json:"best_metric_name"`
	BestMetricValue *number `json:"best_metric_value"`
	PID             *int64  `json:"pid"`
	Created         *int32  `json:"artifacts_created_count,omitempty"`
	Used            *int32  `json:"artifacts_used_count,omitempty"`
	Assets          *int32  `json:"assets_count,omitempty"`
}

// experimentDetail has the fields that only a single experiment has.
type experimentDetail struct {
	experiment

	StartedAt  *float64       `json:"started_at"`
	EndedAt    *float64       `json:"ended_at"`
	Duration   *float64       `json:"duration"`
	ExitReason string         `json:"exit_reason,omitempty"`
	Summary    map[string]any `json:"summary"`
	Metadata   map[string]any `json:"metadata"`
	// Missing names the fields that could not be read from the Viewer.
	Missing []string `json:"missing,omitempty"`
}

// listExperiments lists the experiments of the default Viewer, newest first.
func (c *compat) listExperiments(ctx context.Context, in *input) (answer, error) {
	win, err := in.window()
	if err != nil {
		return nil, err
	}
	name, wanted := in.query.Get("name"), in.query.Get("status")
	var terms []string
	if project := in.query.Get("project"); project != "" {
		terms = append(terms, "project = "+filter.Quote(project))
	}
	if wanted != "" {
		terms = append(terms, "status = "+parseStatus(wanted).String())
	}
	req := &runicornapiv1.ListExperimentsRequest{Filter: filter.And(terms...)}
	keep := func(e *runicornapiv1.Experiment) bool {
		return (name == "" || e.GetName() == name || replaceSlashes(e.GetName()) == name) &&
			(wanted == "" || statusName(e) == wanted)
	}
	found, err := readWindow(ctx, c.experiments.ListExperiments, req, (*runicornapiv1.ListExperimentsResponse).GetExperiments, win, keep)
	if err != nil {
		return nil, err
	}
	return listed("experiments", found, experimentOf), nil
}

// getExperiment gets one experiment with all its fields.
func (c *compat) getExperiment(ctx context.Context, in *input) (answer, error) {
	resp, err := c.experiments.GetExperiment(ctx, &runicornapiv1.GetExperimentRequest{RunId: in.id})
	if err != nil {
		return nil, err
	}
	e := resp.GetExperiment()
	out := experimentDetail{
		experiment: experimentOf(e), StartedAt: seconds(e.GetStartTime()), EndedAt: seconds(e.GetEndTime()),
		ExitReason: e.GetExitReason(), Summary: plainValues(e.GetSummary()), Metadata: plainValues(e.GetMetadata()),
	}
	if e.GetDuration() != nil {
		out.Duration = new(e.GetDuration().AsDuration().Seconds())
	}
	for _, part := range e.GetMissing() {
		out.Missing = append(out.Missing, part.GetField())
	}
	return document{out}, nil
}

// listProjects lists the projects as records, where a Viewer lists only names.
func (c *compat) listProjects(ctx context.Context, _ *input) (answer, error) {
	found, err := readWindow(ctx, c.experiments.ListProjects, &runicornapiv1.ListProjectsRequest{},
		(*runicornapiv1.ListProjectsResponse).GetProjects, window{}, nil)
	if err != nil {
		return nil, err
	}
	return listed("projects", found, func(p *runicornapiv1.Project) map[string]any {
		return map[string]any{
			"name": p.GetProject(), "experiment_count": p.GetExperimentCount(),
			"running_count": p.GetRunningCount(), "latest_update": seconds(p.GetUpdateTime()),
		}
	}), nil
}

// experimentOf converts an item of a list.
func experimentOf(e *runicornapiv1.Experiment) experiment {
	out := experiment{
		ID: e.GetRunId(), Viewer: e.GetViewer(), ResourceName: e.GetResourceName(),
		Project: e.GetProject(), Name: replaceSlashes(e.GetName()), Path: e.GetPath(), Alias: e.Alias, Tags: texts(e.GetTags()),
		Status: statusName(e), CreatedAt: seconds(e.GetCreateTime()), UpdatedAt: seconds(e.GetUpdateTime()),
		PID: e.ProcessId, Created: e.CreatedArtifactCount, Used: e.UsedArtifactCount, Assets: e.AssetCount,
	}
	if best := e.GetBestMetric(); best != nil {
		out.BestMetricName, out.BestMetricValue = new(best.GetMetricName()), finite(best.Value)
	}
	return out
}

// replaceSlashes replaces the slashes in the name of an experiment.
func replaceSlashes(name string) string { return strings.ReplaceAll(name, "/", "-") }

// statusNames maps to the documented statuses.
var statusNames = map[runicornapiv1.ExperimentStatus]string{
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING:     "running",
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FINISHED:    "finished",
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_FAILED:      "failed",
	runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_INTERRUPTED: "interrupted",
}

// statusName returns the status of an experiment; for OTHER it is the word of the
// training script.
func statusName(e *runicornapiv1.Experiment) string {
	if word, ok := statusNames[e.GetStatus()]; ok {
		return word
	}
	if e.GetStatus() == runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER {
		return e.GetViewerStatus()
	}
	return "unknown"
}

// parseStatus parses the status of a filter. An undocumented word may be one that a
// script made up.
func parseStatus(wanted string) runicornapiv1.ExperimentStatus {
	for status, word := range statusNames {
		if word == wanted {
			return status
		}
	}
	return runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_OTHER
}
