package tensorboard

import (
	"context"
	"math"
	"slices"

	tensorboardpb "github.com/runicorn-grpc/runicorn-grpc/gen/tensorboard/data"
	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runcache"
	"github.com/runicorn-grpc/runicorn-grpc/internal/search"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
)

// scalars are the metrics that have numbers or booleans.
var scalars = &plugin{
	name:      pluginScalars,
	known:     knownScalars,
	hasPoints: func(numPoints int) bool { return numPoints <= 1 },
	read:      readScalars,
}

// ListScalars lists the metrics that have numbers or booleans.
func (s *Server) ListScalars(ctx context.Context, req *tensorboardpb.ListScalarsRequest) (*tensorboardpb.ListScalarsResponse, error) {
	return respond(ctx, s, scalars, req, func(runs []runTags) *tensorboardpb.ListScalarsResponse {
		out, about := &tensorboardpb.ListScalarsResponse{}, summary(pluginScalars, tensorboardpb.DataClass_DATA_CLASS_SCALAR, nil)
		for _, r := range runs {
			entry := &tensorboardpb.ScalarRunEntry{RunName: r.name}
			for i := range r.tags {
				t := &r.tags[i]
				entry.Tags = append(entry.Tags, &tensorboardpb.ScalarTagEntry{
					TagName: t.name, Metadata: &tensorboardpb.ScalarMetadata{MaxStep: t.step, MaxWallTime: t.time, SummaryMetadata: about},
				})
			}
			out.Runs = append(out.Runs, entry)
		}
		return out
	})
}

// ReadScalars reads the points of metrics.
func (s *Server) ReadScalars(ctx context.Context, req *tensorboardpb.ReadScalarsRequest) (*tensorboardpb.ReadScalarsResponse, error) {
	return respond(ctx, s, scalars, req, func(runs []runTags) *tensorboardpb.ReadScalarsResponse {
		out := &tensorboardpb.ReadScalarsResponse{}
		for _, r := range runs {
			data := &tensorboardpb.ScalarRunData{RunName: r.name}
			for i := range r.tags {
				points := r.tags[i].scalars
				if points == nil || req.GetDownsample().GetNumPoints() == 0 {
					points = &tensorboardpb.ScalarData{}
				}
				data.Tags = append(data.Tags, &tensorboardpb.ScalarTagData{TagName: r.tags[i].name, Data: points})
			}
			out.Runs = append(out.Runs, data)
		}
		return out
	})
}

// knownScalars makes the tags of a search record, each with its last point.
func knownScalars(r *run, rec *search.Record) (tags []tag) {
	for i := range rec.Metrics {
		m := &rec.Metrics[i]
		if m.Kind == eventlog.KindText {
			continue
		}
		name := convert.Text(m.Name)
		t := tag{name: name, step: m.Last.Step, time: timeOr(m.Last.Time, r), scalars: newScalars(1)}
		t.addScalar(m.Last.Step, m.Last.Time, m.Last.Value, r, 1)
		switch last := len(tags) - 1; {
		case last < 0 || tags[last].name != name:
			tags = append(tags, t)
		case tags[last].step < t.step: // a metric with numbers and booleans: the newer one
			tags[last] = t
		}
	}
	return tags
}

// maxExtraPoints bounds the points of one run that are cached for tags that were not
// requested.
const maxExtraPoints = 200_000

// readScalars makes the tags of a parsed run.
func readScalars(v *runcache.View, r *run, numPoints int, wanted names) (tags []tag, isPartial bool, err error) {
	byName := map[string]*tag{}
	for _, stat := range v.Summary().Stats(eventlog.Selection{}) {
		if stat.Kind == eventlog.KindText || stat.Count == 0 {
			continue
		}
		if t := byName[stat.Name]; t == nil || t.step < stat.LastStep {
			byName[stat.Name] = &tag{name: convert.Text(stat.Name), step: stat.LastStep, time: timeOr(stat.LastTime, r)}
		}
	}
	total := 0
	for metric, t := range byName {
		if numPoints > 0 {
			if total > maxExtraPoints && !wanted.has(t.name) {
				isPartial = true
				continue
			}
			if err := t.readPoints(v, r, metric, numPoints); err != nil {
				return nil, false, err
			}
			total += len(t.scalars.GetStep())
		}
		tags = append(tags, *t)
	}
	return tags, isPartial, nil
}

// readPoints reads the newest point of a metric, or a downsampled curve.
func (t *tag) readPoints(v *runcache.View, r *run, metric string, numPoints int) error {
	query := eventlog.Query{MaxPoints: numPoints}
	if numPoints == 1 {
		query = eventlog.Query{Last: 1}
	}
	samples, err := v.ReadMetric(metric, query)
	if err != nil {
		return err
	}
	series := mergeKinds(samples)
	picked := downsample.Pick(series.Steps, series.Values, numPoints)
	if numPoints == 1 && series.Len() > 0 {
		picked = []int{series.Len() - 1}
	}
	t.scalars = newScalars(len(picked))
	for _, i := range picked {
		t.addScalar(series.Steps[i], series.Times[i], series.Values[i], r, numPoints)
	}
	return nil
}

// mergeKinds merges the numbers and the booleans of a metric by step. Most metrics have only
// one of them.
func mergeKinds(samples []eventlog.Sample) *eventlog.Series {
	samples = slices.DeleteFunc(samples, func(s eventlog.Sample) bool { return s.Kind == eventlog.KindText })
	switch len(samples) {
	case 0:
		return &eventlog.Series{}
	case 1:
		return &samples[0].Series
	}
	a, b, out := &samples[0].Series, &samples[1].Series, &eventlog.Series{}
	for i, j := 0, 0; i < a.Len() || j < b.Len(); {
		from, at := a, &i
		if i == a.Len() || j < b.Len() && b.Steps[j] < a.Steps[i] {
			from, at = b, &j
		}
		out.Steps = append(out.Steps, from.Steps[*at])
		out.Times = append(out.Times, from.Times[*at])
		out.Values = append(out.Values, from.Values[*at])
		*at++
	}
	return out
}

func newScalars(n int) *tensorboardpb.ScalarData {
	return &tensorboardpb.ScalarData{Step: make([]int64, 0, n), WallTime: make([]float64, 0, n), Value: make([]float32, 0, n)}
}

// addScalar adds a point. If numPoints is 1, as in requests of HParams, the step is limited
// to 32 bits, because TensorBoard fails there for larger steps.
func (t *tag) addScalar(step int64, time, value float64, r *run, numPoints int) {
	if numPoints == 1 {
		step = min(max(step, math.MinInt32), math.MaxInt32)
	}
	t.scalars.Step = append(t.scalars.Step, step)
	t.scalars.WallTime = append(t.scalars.WallTime, timeOr(time, r))
	t.scalars.Value = append(t.scalars.Value, float32Of(value))
}

// timeOr is the time of a point, or if it has none, the creation time of its run, in Unix
// seconds.
func timeOr(seconds float64, r *run) float64 {
	if seconds == 0 {
		return r.created()
	}
	return seconds
}

// float32Of rounds a value to the precision of TensorBoard. A finite value stays finite.
func float32Of(v float64) float32 {
	if math.IsInf(v, 0) {
		return float32(v)
	}
	return float32(min(max(v, -math.MaxFloat32), math.MaxFloat32)) // NaN stays NaN
}
