package service

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
)

// describe finds out what the file says of its runs besides their metrics, and
// that they are there.
func (j *exporter) describe(ctx context.Context) error {
	j.runs = make([]*export.Run, len(j.targets))
	isMerged, updated := make([]bool, len(j.targets)), make([]time.Time, len(j.targets))
	describing, within := errgroup.WithContext(ctx)
	describing.SetLimit(maxFull)
	for i, t := range j.targets {
		describing.Go(func() error {
			caps, err := t.Client.Capabilities(within)
			if err != nil {
				return err
			}
			isMerged[i] = !caps.Has(restclient.CapFiles)
			j.runs[i], updated[i], err = j.describeRun(within, t)
			return err
		})
	}
	err := describing.Wait()
	if j.modified = newest(updated...); j.modified.IsZero() {
		j.modified = j.Now()
	}
	j.isMerged = slices.Contains(isMerged, true)
	for i, merged := range isMerged {
		if j.runs[i] != nil {
			j.runs[i].Merged = merged
		}
	}
	return err
}

// describeRun reads the experiment, in full for the formats that show it.
func (j *exporter) describeRun(ctx context.Context, t target) (_ *export.Run, updated time.Time, _ error) {
	get, isFull := j.basic, false
	switch j.format {
	case export.JSON, export.HTML, export.Markdown:
		get, isFull = j.full, true
	}
	e, err := get(ctx, t)
	if err != nil {
		return nil, updated, err
	}
	updated = asTime(e.GetUpdateTime())
	run := &export.Run{Viewer: t.Name, ID: t.runID, Project: e.GetProject(), Name: e.GetName()}
	if !isFull {
		return run, updated, nil
	}
	environment, err := t.Client.GetEnvironment(ctx, t.runID)
	if err != nil {
		return nil, updated, err
	}
	captured := &runicornapiv1.GetEnvironmentResponse{
		Available: environment.Available, Environment: valuesOf(environment.Values),
		Viewer: t.Name, RunId: validText(t.runID),
	}
	run.Facts, run.Summary, run.Captured = facts(e), valueFacts(e.GetSummary()), valueFacts(captured.GetEnvironment())
	if run.Experiment, err = messageJSON(e); err != nil {
		return nil, updated, err
	}
	run.Environment, err = messageJSON(captured)
	return run, updated, err
}

// messageJSON is a message as the REST side writes it. protojson puts in spaces
// at random, which are taken out.
func messageJSON(m proto.Message) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	return []byte(compact(string(text))), err
}

// facts are what a report says of an experiment.
func facts(e *runicornapiv1.Experiment) []export.Fact {
	status := strings.ToLower(strings.TrimPrefix(e.GetStatus().String(), "EXPERIMENT_STATUS_"))
	all := []export.Fact{
		{Label: "Project", Value: e.GetProject()},
		{Label: "Name", Value: e.GetName()},
		{Label: "Path", Value: e.GetPath()},
		{Label: "Alias", Value: e.GetAlias()},
		{Label: "Tags", Value: strings.Join(e.GetTags(), ", ")},
		{Label: "Status", Value: cmp.Or(e.GetViewerStatus(), status)},
		{Label: "Created", Value: moment(e.GetCreateTime())},
		{Label: "Started", Value: moment(e.GetStartTime())},
		{Label: "Ended", Value: moment(e.GetEndTime())},
		{Label: "Viewer", Value: e.GetViewer()},
	}
	if e.GetDuration() != nil {
		lasted := e.GetDuration().AsDuration().Round(time.Millisecond)
		all = append(all, export.Fact{Label: "Duration", Value: lasted.String()})
	}
	if best := e.GetBestMetric(); best.GetMetricName() != "" {
		text := best.GetMetricName()
		if best.Value != nil {
			text += " = " + strconv.FormatFloat(best.GetValue(), 'g', -1, 64)
		}
		if best.Step != nil {
			text += " at step " + strconv.FormatInt(best.GetStep(), 10)
		}
		all = append(all, export.Fact{Label: "Best", Value: text})
	}
	return slices.DeleteFunc(all, func(f export.Fact) bool { return f.Value == "" })
}

// moment is a time for people.
func moment(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format("2006-01-02 15:04:05 UTC")
}

// valueFacts are free-form values for people, by name.
func valueFacts(values map[string]*runicornapiv1.Value) []export.Fact {
	out := make([]export.Fact, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, export.Fact{Label: name, Value: valueText(values[name])})
	}
	return out
}

// valueText is a value for people.
func valueText(v *runicornapiv1.Value) string {
	switch k := v.GetKind().(type) {
	case *runicornapiv1.Value_Number:
		return strconv.FormatFloat(k.Number, 'g', -1, 64)
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
