package runs

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/convert"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/errmap"
	"github.com/runicorn-grpc/runicorn-grpc/internal/service/target"
)

// MaxFull is the maximum number of experiments of a list that are read concurrently. The
// client's own limits apply to the requests to each Viewer.
const MaxFull = 8

// Basic reads a run from the list. A run that the list lacks is read by its id: Viewer
// 0.7.2 omits runs that were written while its index was locked.
func Basic(ctx context.Context, t target.Run) (*runicornapiv1.Experiment, error) {
	list, err := t.Client.Runs(ctx)
	if err != nil {
		return nil, err
	}
	if run := list.Find(t.RunID); run != nil {
		return BasicExperiment(t.Name, run, list.Lossy), nil
	}
	detail, err := t.Client.GetRun(ctx, t.RunID)
	if err != nil {
		return nil, err
	}
	return BasicExperiment(t.Name, &detail.Run, detail.Lossy), nil
}

// Full reads everything about a run. Only a failure to read the detail is an error; other
// failures are reported in the response.
func Full(ctx context.Context, t target.Run) (*runicornapiv1.Experiment, error) {
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	var list partResult[restclient.RunList]
	var wg sync.WaitGroup
	wg.Go(func() { list.set(t.Client.Runs(early)) })
	r := readFull(early, early, t, true, nil, nil)
	wg.Wait()
	if r.detail.err != nil {
		return nil, target.TimeoutError(ctx, t.Name, r.detail.err)
	}
	var e *runicornapiv1.Experiment
	if list.err == nil && list.value.Find(t.RunID) != nil {
		e = BasicExperiment(t.Name, list.value.Find(t.RunID), list.value.Lossy)
	} else {
		e = BasicExperiment(t.Name, &r.detail.value.Run, r.detail.value.Lossy)
		r.fillFromMeta(ctx, e, list.err)
	}
	r.fill(ctx, e, time.Now())
	return e, ctx.Err()
}

// Complete converts a page of entries, each in full if the view requires it. It respects
// the caller's deadline: parts that are too slow are reported as missing. If timeout is
// not 0, so are all parts of a Viewer that does not answer a health check within it.
func Complete(ctx context.Context, entries []*Entry, view runicornapiv1.ExperimentView, timeout time.Duration) ([]*runicornapiv1.Experiment, error) {
	out := make([]*runicornapiv1.Experiment, len(entries))
	for i, e := range entries {
		out[i] = e.Experiment()
	}
	if view != runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL {
		return out, nil
	}
	early, cancel := target.WithMargin(ctx)
	defer cancel()
	away := unreachableViewers(early, entries, timeout)
	paths := readPaths(early, entries, away)
	statusCtx, stop := context.WithTimeout(early, maxStatusTime)
	defer stop()
	var g errgroup.Group
	g.SetLimit(MaxFull)
	for i, e := range entries {
		g.Go(func() error {
			if err := away[e.Viewer]; err != nil {
				unread(e.Target(), err).fill(ctx, out[i], time.Now())
				return ctx.Err()
			}
			readListed(early, statusCtx, e, paths[i]).fill(ctx, out[i], time.Now())
			return ctx.Err()
		})
	}
	return out, g.Wait()
}

// partResult is the outcome of one read.
type partResult[T any] struct {
	value *T
	err   error
}

func (r *partResult[T]) set(value *T, err error) { r.value, r.err = value, err }

// fullRead holds what a FULL experiment is made of, besides the list.
type fullRead struct {
	target  target.Run
	detail  partResult[restclient.RunDetail]
	status  partResult[restclient.Document[restclient.StatusDocument]]
	summary partResult[restclient.Document[restclient.Values]]
	meta    partResult[restclient.Document[restclient.Values]]
}

// readFull reads the unknown parts of a run concurrently.
func readFull(ctx, statusCtx context.Context, t target.Run, withDetail bool, listed *restclient.Run, known *restclient.PathRuns) *fullRead {
	r := &fullRead{target: t}
	if files := t.Client.KnownFiles(t.RunID); files != nil && listed != nil && !withDetail {
		r.status.value, r.summary.value, r.meta.value = files.Status, files.Summary, files.Meta
		return r
	}
	var wg sync.WaitGroup
	if withDetail {
		wg.Go(func() { r.detail.set(t.Client.GetRun(ctx, t.RunID)) })
	}
	wg.Go(func() {
		switch {
		case listed == nil:
			r.status.set(t.Client.StatusFile(ctx, t.RunID))
		case statusCtx.Err() != nil && !t.Client.KnowsStatus(listed):
			r.status.set(nil, statusCtx.Err()) // reads that have begun are completed, as the Viewer has most of the cost already
		default:
			r.status.set(t.Client.ListedStatus(ctx, listed))
		}
	})
	if summary, ok := known.Summary(t.RunID); ok {
		r.summary.set(&restclient.Document[restclient.Values]{State: restclient.FileWhole, Value: summary}, nil)
	} else {
		wg.Go(func() { r.summary.set(t.Client.SummaryFile(ctx, t.RunID)) })
	}
	if meta, ok := known.Meta(t.RunID); ok {
		r.meta.set(&restclient.Document[restclient.Values]{State: restclient.FileWhole, Value: meta}, nil)
	} else {
		wg.Go(func() { r.meta.set(t.Client.MetaFile(ctx, t.RunID)) })
	}
	wg.Wait()
	r.recheckStatus(ctx)
	return r
}

// recheckStatus reads the status again if it contradicts the detail: the request for the
// detail may have made the Viewer detect that the process has died. If the contradiction
// remains, the run was reopened on 0.7.2, and the file is right.
func (r *fullRead) recheckStatus(ctx context.Context) {
	if r.detail.value == nil || r.status.value == nil || r.status.value.State != restclient.FileWhole {
		return
	}
	if r.detail.value.Status.Value != r.status.value.Value.Status.Value {
		if again, err := r.target.Client.StatusFile(ctx, r.target.RunID); err == nil {
			r.status.value = again
		}
	}
}

// fill completes an experiment that has its BASIC fields. It does not change the etag,
// which is that of the list.
func (r *fullRead) fill(ctx context.Context, e *runicornapiv1.Experiment, now time.Time) {
	e.View = runicornapiv1.ExperimentView_EXPERIMENT_VIEW_FULL
	e.LossyText = e.GetLossyText() || r.lossy()
	r.fillState(ctx, e, now)
	r.fillSummary(ctx, e)
	if known, err := document(r.target, r.meta); err != nil {
		addMissing(ctx, e, target.TimeoutError(ctx, e.GetViewer(), err), "metadata")
	} else if known != nil {
		e.Metadata = convert.Values(dropServerPaths(*known))
	}
	fit(e)
}

// lossy reports whether a part had bytes that were not UTF-8.
func (r *fullRead) lossy() bool {
	return (r.detail.value != nil && r.detail.value.Lossy) || (r.status.value != nil && r.status.value.Lossy) ||
		(r.summary.value != nil && r.summary.value.Lossy) || (r.meta.value != nil && r.meta.value.Lossy)
}

// fillState sets the state from status.json, which is authoritative, and from the detail
// of 0.7.
func (r *fullRead) fillState(ctx context.Context, e *runicornapiv1.Experiment, now time.Time) {
	var detail restclient.RunDetail
	if r.detail.value != nil {
		detail = *r.detail.value
		setStatus(e, detail.Status.Value)
	}
	start, end := detail.StartTime.Time, time.Time{}
	file, err := document(r.target, r.status)
	switch {
	case err != nil:
		fields := []string{"end_time"}
		if start.IsZero() {
			fields = []string{"start_time", "end_time"}
		}
		addMissing(ctx, e, target.TimeoutError(ctx, e.GetViewer(), err), fields...)
	case file != nil:
		if convert.IsKnownStatus(file.Status.Value) {
			setStatus(e, file.Status.Value)
		}
		e.ExitReason = convert.Text(file.ExitReason.Value)
		end = file.EndTime.Time
		if !file.StartTime.IsZero() {
			start = file.StartTime.Time
		}
	}
	if e.GetStatus() == runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING {
		end = time.Time{}
	}
	e.StartTime, e.EndTime = convert.Time(start), convert.Time(end)
	e.UpdateTime = convert.Time(convert.Newest(convert.AsTime(e.GetCreateTime()), start, end))
	e.Duration = duration(e, &detail, now)
}

// setStatus sets the status to a Viewer's word, unless it is empty.
func setStatus(e *runicornapiv1.Experiment, text string) {
	if text != "" {
		e.Status, e.ViewerStatus = convert.Status(text), convert.Text(text)
	}
}

// duration returns how long a run took, or has taken until now.
func duration(e *runicornapiv1.Experiment, detail *restclient.RunDetail, now time.Time) *durationpb.Duration {
	running := e.GetStatus() == runicornapiv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING
	switch {
	case e.GetStartTime() == nil:
		return nil
	case e.GetEndTime() != nil:
		return durationpb.New(max(0, convert.AsTime(e.GetEndTime()).Sub(convert.AsTime(e.GetStartTime()))))
	case running:
		return durationpb.New(max(0, now.Sub(convert.AsTime(e.GetStartTime()))))
	case detail.Duration.Known && detail.Duration.Value >= 0 && detail.Duration.Value < maxSeconds:
		return durationpb.New(time.Duration(detail.Duration.Value * float64(time.Second)))
	}
	return nil
}

// maxSeconds is the maximum duration in seconds that fits into a time.Duration.
const maxSeconds = 9e9

// fillSummary takes the summary from the file, which has NaN, otherwise from the detail
// of 0.7, which has null instead.
func (r *fullRead) fillSummary(ctx context.Context, e *runicornapiv1.Experiment) {
	var summary restclient.Values
	known, err := document(r.target, r.summary)
	switch {
	case known != nil:
		summary = *known
	case r.detail.value != nil && r.detail.value.Summary != nil:
		summary = r.detail.value.Summary
	case err != nil:
		addMissing(ctx, e, target.TimeoutError(ctx, e.GetViewer(), err), "summary")
	}
	e.Summary = convert.Values(summary)
	fillBest(e, summary)
}

// fillBest adds the fields of the best metric that only the summary has.
func fillBest(e *runicornapiv1.Experiment, summary restclient.Values) {
	name := summary["best_metric_name"]
	if name.Kind != restclient.ValueText {
		return
	}
	if e.GetBestMetric() == nil {
		e.BestMetric = &runicornapiv1.BestMetric{MetricName: convert.Text(name.Text), Value: convert.Finite(summary["best_metric_value"])}
	}
	if e.GetBestMetric().GetMetricName() != convert.Text(name.Text) {
		return
	}
	if step := summary["best_metric_step"]; step.Kind == restclient.ValueInteger {
		e.BestMetric.Step = &step.Integer
	}
	if mode := summary["best_metric_mode"]; mode.Kind == restclient.ValueText {
		e.BestMetric.Goal = goals[mode.Text]
	}
}

// document returns the content of a small file, nil if the run does not have it.
func document[T any](t target.Run, r partResult[restclient.Document[T]]) (*T, error) {
	switch e, ok := errors.AsType[*restclient.Error](r.err); {
	case ok && e.Kind == restclient.KindUnsupported:
		unsupported := *e
		unsupported.Alternative = "" // the alternative applies to metrics only
		return nil, &unsupported
	case r.err != nil:
		return nil, r.err
	case r.value.State == restclient.RunGone:
		return nil, t.NotFound()
	case r.value.State != restclient.FileWhole:
		return nil, nil //nolint:nilnil // no such file is no error, and the run has nothing in it
	}
	return &r.value.Value, nil
}

// addMissing records fields of an experiment that could not be read.
func addMissing(ctx context.Context, e *runicornapiv1.Experiment, err error, fields ...string) {
	st := errmap.Status(ctx, err).Proto()
	for _, field := range fields {
		e.Missing = append(e.Missing, &runicornapiv1.MissingPart{Field: field, Error: st})
	}
}

// goals maps the Viewer's words for the direction of a primary metric.
var goals = map[string]runicornapiv1.Goal{
	"max": runicornapiv1.Goal_GOAL_MAXIMIZE,
	"min": runicornapiv1.Goal_GOAL_MINIMIZE,
}
