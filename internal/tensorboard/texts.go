package tensorboard

import (
	"cmp"
	"context"
	"slices"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// texts are the metrics that have texts. Only changes are returned, because a text is often
// logged with every step.
var texts = &plugin{
	name:      pluginText,
	hasLogs:   true,
	known:     knownTexts,
	hasPoints: func(numPoints int) bool { return numPoints == 0 },
	read:      readTexts,
}

// ListTensors lists texts and logs, or the hyperparameters.
func (s *Server) ListTensors(ctx context.Context, req *tensorboardpb.ListTensorsRequest) (*tensorboardpb.ListTensorsResponse, error) {
	if req.GetPluginFilter().GetPluginName() == pluginHParams {
		return share(ctx, s, req, s.listHParams)
	}
	return respond(ctx, s, texts, req, func(runs []runTags) *tensorboardpb.ListTensorsResponse {
		out, about := &tensorboardpb.ListTensorsResponse{}, summary(pluginText, tensorboardpb.DataClass_DATA_CLASS_TENSOR, nil)
		for _, r := range runs {
			entry := &tensorboardpb.TensorRunEntry{RunName: r.name}
			for i := range r.tags {
				t := &r.tags[i]
				entry.Tags = append(entry.Tags, &tensorboardpb.TensorTagEntry{
					TagName: t.name, Metadata: &tensorboardpb.TensorMetadata{MaxStep: t.step, MaxWallTime: t.time, SummaryMetadata: about},
				})
			}
			out.Runs = append(out.Runs, entry)
		}
		return out
	})
}

// ReadTensors reads texts and the last lines of logs.
func (s *Server) ReadTensors(ctx context.Context, req *tensorboardpb.ReadTensorsRequest) (*tensorboardpb.ReadTensorsResponse, error) {
	return respond(ctx, s, texts, req, func(runs []runTags) *tensorboardpb.ReadTensorsResponse {
		out := &tensorboardpb.ReadTensorsResponse{}
		for _, r := range runs {
			data := &tensorboardpb.TensorRunData{RunName: r.name}
			for i := range r.tags {
				points := cmp.Or(r.tags[i].tensors, &tensorboardpb.TensorData{})
				data.Tags = append(data.Tags, &tensorboardpb.TensorTagData{TagName: r.tags[i].name, Data: points})
			}
			out.Runs = append(out.Runs, data)
		}
		return out
	})
}

// knownTexts makes the tags of a search record.
func knownTexts(r *run, rec *search.Record) (tags []tag) {
	for i := range rec.Metrics {
		if m := &rec.Metrics[i]; m.Kind == eventlog.KindText {
			tags = append(tags, tag{name: convert.Text(m.Name), step: m.Last.Step, time: timeOr(m.Last.Time, r)})
		}
	}
	return tags
}

// readTexts makes the tags of a parsed run, each with its newest changes.
func readTexts(v *runcache.View, r *run, numPoints int, wanted names) (tags []tag, isPartial bool, err error) {
	for _, stat := range v.Summary().Stats(eventlog.Selection{}) {
		if stat.Kind != eventlog.KindText {
			continue
		}
		t := tag{name: convert.Text(stat.Name), step: stat.LastStep, time: timeOr(stat.LastTime, r)}
		switch {
		case numPoints == 0:
		case !wanted.has(t.name): // texts may be long
			isPartial = true
			continue
		default:
			samples, err := v.ReadMetric(stat.Name, eventlog.Query{})
			if err != nil {
				return nil, false, err
			}
			t.readChanges(samples, r, numPoints)
		}
		tags = append(tags, t)
	}
	return tags, isPartial, nil
}

// readChanges adds the points whose text differs from the previous one.
func (t *tag) readChanges(samples []eventlog.Sample, r *run, numPoints int) {
	at := slices.IndexFunc(samples, func(s eventlog.Sample) bool { return s.Kind == eventlog.KindText })
	t.tensors = &tensorboardpb.TensorData{}
	if at < 0 {
		return
	}
	s := &samples[at]
	var changes []int
	for i, text := range s.Texts {
		if i == 0 || text != s.Texts[i-1] {
			changes = append(changes, i)
		}
	}
	for _, i := range changes[max(0, len(changes)-numPoints):] {
		addText(t.tensors, s.Steps[i], timeOr(s.Times[i], r), s.Texts[i])
	}
}

// dtypeString is DT_STRING of TensorFlow, the type of a tensor of strings.
const dtypeString = 7

func addText(d *tensorboardpb.TensorData, step int64, time float64, text string) {
	d.Step, d.WallTime = append(d.Step, step), append(d.WallTime, time)
	d.Value = append(d.Value, &tensorboardpb.Tensor{
		Dtype: dtypeString, TensorShape: &tensorboardpb.TensorShape{}, StringVal: [][]byte{[]byte(convert.Text(text))},
	})
}
