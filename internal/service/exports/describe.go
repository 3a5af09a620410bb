package exports

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/export"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/runs"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// describe reads everything that the file has of its runs besides metrics, and checks
// that the runs exist.
func (j *exporter) describe(ctx context.Context) error {
	j.runs, j.etags = make([]*export.Run, len(j.targets)), make([]string, len(j.targets))
	updated := make([]time.Time, len(j.targets))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(runs.MaxFull)
	for i, t := range j.targets {
		g.Go(func() (err error) {
			var e *runicornapiv1.Experiment
			j.runs[i], e, err = j.describeRun(groupCtx, t)
			updated[i], j.etags[i] = convert.AsTime(e.GetUpdateTime()), e.GetEtag()
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if j.modified = convert.Newest(updated...); j.modified.IsZero() {
		j.modified = time.Now()
	}
	j.merged = slices.ContainsFunc(j.runs, func(r *export.Run) bool { return r.Merged })
	return nil
}

// describeRun reads the experiment, in full for the formats that include it.
func (j *exporter) describeRun(ctx context.Context, t target.Run) (_ *export.Run, e *runicornapiv1.Experiment, err error) {
	caps, err := t.Client.Capabilities(ctx)
	if err != nil {
		return nil, nil, err
	}
	isFull := j.format == export.JSON || j.format == export.HTML || j.format == export.Markdown
	if isFull {
		e, err = runs.Full(ctx, t)
	} else {
		e, err = runs.Basic(ctx, t)
	}
	if err != nil {
		return nil, nil, err
	}
	run := &export.Run{Viewer: t.Name, ID: t.RunID, Project: e.GetProject(), Name: e.GetName(), Merged: !caps.Has(restclient.CapFiles)}
	if !isFull {
		return run, e, nil
	}
	environment, err := t.Client.GetEnvironment(ctx, t.RunID)
	if err != nil {
		return nil, nil, err
	}
	captured := &runicornapiv1.GetEnvironmentResponse{
		Available: environment.Available, Environment: convert.Values(environment.Values),
		Viewer: t.Name, RunId: convert.Text(t.RunID),
	}
	run.Fields, run.Summary, run.EnvironmentFields = reportFields(e), valueFields(e.GetSummary()), valueFields(captured.GetEnvironment())
	if run.Experiment, err = messageJSON(e); err != nil {
		return nil, nil, err
	}
	run.Environment, err = messageJSON(captured)
	return run, e, err
}

// messageJSON encodes a message as the REST API does. protojson inserts spaces at random;
// they are removed.
func messageJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	return []byte(convert.CompactJSON(string(text))), err
}

// reportFields returns what a report shows of an experiment.
func reportFields(e *runicornapiv1.Experiment) []export.Field {
	status := strings.ToLower(strings.TrimPrefix(e.GetStatus().String(), "EXPERIMENT_STATUS_"))
	all := []export.Field{
		{Label: "Project", Value: e.GetProject()},
		{Label: "Name", Value: e.GetName()},
		{Label: "Path", Value: e.GetPath()},
		{Label: "Alias", Value: e.GetAlias()},
		{Label: "Tags", Value: strings.Join(e.GetTags(), ", ")},
		{Label: "Status", Value: cmp.Or(e.GetViewerStatus(), status)},
		{Label: "Created", Value: timeText(e.GetCreateTime())},
		{Label: "Started", Value: timeText(e.GetStartTime())},
		{Label: "Ended", Value: timeText(e.GetEndTime())},
		{Label: "Viewer", Value: e.GetViewer()},
	}
	if e.GetDuration() != nil {
		lasted := e.GetDuration().AsDuration().Round(time.Millisecond)
		all = append(all, export.Field{Label: "Duration", Value: lasted.String()})
	}
	if best := e.GetBestMetric(); best.GetMetricName() != "" {
		text := best.GetMetricName()
		if best.Value != nil {
			text += " = " + export.Number(best.GetValue())
		}
		if best.Step != nil {
			text += " at step " + strconv.FormatInt(best.GetStep(), 10)
		}
		all = append(all, export.Field{Label: "Best", Value: text})
	}
	return slices.DeleteFunc(all, func(f export.Field) bool { return f.Value == "" })
}

// timeText formats a time for a report.
func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format("2006-01-02 15:04:05 UTC")
}

// valueFields returns free-form values for a report, sorted by name.
func valueFields(values map[string]*runicornapiv1.Value) []export.Field {
	out := make([]export.Field, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, export.Field{Label: name, Value: valueText(values[name])})
	}
	return out
}

// valueText formats a value for a report.
func valueText(v *runicornapiv1.Value) string {
	switch k := v.GetKind().(type) {
	case *runicornapiv1.Value_Number:
		return export.Number(k.Number)
	case *runicornapiv1.Value_Integer:
		return strconv.FormatInt(k.Integer, 10)
	case *runicornapiv1.Value_Boolean:
		return strconv.FormatBool(k.Boolean)
	case *runicornapiv1.Value_Text:
		return k.Text
	case *runicornapiv1.Value_Json:
		return k.Json
	}
	return ""
}
