package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

// shownCandidates is the maximum number of experiments in an error.
const shownCandidates = 8

// find returns the experiment that an argument names: by its run id or a prefix of it,
// its path, its alias, each optionally with "viewer/" in front, or by its resource name.
func (a *app) find(given string) (*runicornapiv1.Experiment, error) {
	if strings.HasPrefix(given, "viewers/") {
		answer, err := a.client.ExperimentService.GetExperiment(a.ctx, &runicornapiv1.GetExperimentRequest{
			RunId: given, View: runicornapiv1.ExperimentView_EXPERIMENT_VIEW_BASIC,
		})
		return answer.GetExperiment(), err
	}
	var found []*runicornapiv1.Experiment
	if given != "" { // the empty text is a prefix of every run id
		var err error
		if found, err = a.candidates(given); err != nil {
			return nil, err
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("no experiment has the run id, path or alias %q; runicorn-grpc ls lists them", given)
	}
	var names []string
	for _, e := range found[:min(len(found), shownCandidates)] {
		name := e.GetViewer() + "/" + e.GetRunId()
		if label := strings.TrimSpace(e.GetPath() + " " + e.GetAlias()); label != "" {
			name += " (" + label + ")"
		}
		names = append(names, name)
	}
	if more := len(found) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return nil, fmt.Errorf("%q may be %d experiments: %s; use one of these names", given, len(found), clean(strings.Join(names, ", ")))
}

// candidates returns the experiments that an argument may name: those with this name
// or, if there are none, those whose run id has it as a prefix.
func (a *app) candidates(given string) ([]*runicornapiv1.Experiment, error) {
	where := nameFilter(given)
	viewer, rest, found := strings.Cut(given, "/")
	if found && rest != "" {
		where = fmt.Sprintf("(%s) OR (viewer = %s AND (%s))", where, filter.Quote(viewer), nameFilter(rest))
	}
	var whole, begins []*runicornapiv1.Experiment
	for e, err := range a.client.Experiments(a.ctx, &runicornapiv1.ListExperimentsRequest{Viewer: allViewers, Filter: where}) {
		if err != nil {
			if _, partial := errors.AsType[*client.PartialError](err); partial && len(whole)+len(begins) > 0 {
				break // a candidate was found
			}
			return nil, err
		}
		names := []string{e.GetRunId(), e.GetPath(), e.GetAlias()}
		if slices.Contains(names, given) || found && e.GetViewer() == viewer && slices.Contains(names, rest) {
			whole = append(whole, e)
		} else {
			begins = append(begins, e)
		}
	}
	if len(whole) > 0 {
		return whole, nil
	}
	return begins, nil
}

// nameFilter returns a filter for experiments that have text as their path or alias, or
// as a prefix of their run id. Texts compare by their bytes, so all texts with the prefix
// are less than the prefix followed by the maximum rune.
func nameFilter(text string) string {
	quoted := filter.Quote(text)
	return fmt.Sprintf("(run_id >= %s AND run_id < %s) OR path = %[1]s OR alias = %[1]s", quoted, filter.Quote(text+string(unicode.MaxRune)))
}

type showCommand struct {
	RunID string `arg:"" name:"run" help:"${run}"`
}

// Help is the end of the manual.
func (showCommand) Help() string { return "Example: runicorn-grpc show vision/resnet" }

// Run prints one experiment.
func (c *showCommand) Run(a *app) error {
	found, err := a.find(c.RunID)
	if err != nil {
		return err
	}
	answer, err := a.client.ExperimentService.GetExperiment(a.ctx, &runicornapiv1.GetExperimentRequest{RunId: found.GetResourceName()})
	if err != nil {
		return err
	}
	e := answer.GetExperiment()
	if e.Metrics, err = a.metrics(e.GetResourceName()); err != nil {
		return err
	}
	if a.JSON {
		return a.printJSON(e)
	}
	return errors.Join(a.printFacts(e), a.printMetrics(e.GetMetrics()))
}

func (a *app) metrics(run string) (all []*runicornapiv1.MetricInfo, err error) {
	request := &runicornapiv1.ListMetricsRequest{RunId: run}
	for {
		page, err := a.client.MetricService.ListMetrics(a.ctx, request)
		if err != nil {
			return nil, err
		}
		all = append(all, page.GetMetrics()...)
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return all, nil
		}
	}
}

func (a *app) printFacts(e *runicornapiv1.Experiment) error {
	t := &table{}
	fact := func(name string, c cell) {
		if c.text != "" {
			c.isNumber = false
			t.add(cell{text: clean(name), color: bold}, c)
		}
	}
	fact("run", text(e.GetRunId()))
	fact("viewer", text(e.GetViewer()))
	fact("path", text(e.GetPath()))
	fact("alias", text(e.GetAlias()))
	fact("tags", text(strings.Join(e.GetTags(), ", ")))
	fact("status", status(e))
	fact("created", text(formatTime(e.GetCreateTime())))
	fact("started", text(formatTime(e.GetStartTime())))
	fact("ended", text(formatTime(e.GetEndTime())))
	if e.GetDuration() != nil {
		fact("duration", text(e.GetDuration().AsDuration().Round(1e9).String()))
	}
	for _, part := range []struct {
		name   string
		values map[string]*runicornapiv1.Value
	}{{"summary", e.GetSummary()}, {"metadata", e.GetMetadata()}} {
		for _, key := range slices.Sorted(maps.Keys(part.values)) {
			fact(part.name+"."+key, value(part.values[key]))
		}
	}
	for _, m := range e.GetMissing() {
		a.note("%s is missing: %s", m.GetField(), m.GetError().GetMessage())
	}
	return t.print(a.out, a.colors)
}

func (a *app) printMetrics(metrics []*runicornapiv1.MetricInfo) error {
	if len(metrics) == 0 {
		return nil
	}
	t := &table{}
	t.header("METRIC", "POINTS", "STEPS", "LAST", "MIN", "MAX")
	for _, m := range metrics {
		minimum, maximum := cell{}, cell{}
		if m.MinValue != nil {
			minimum, maximum = number(m.GetMinValue()), number(m.GetMaxValue())
		}
		steps := fmt.Sprintf("%d…%d", m.GetFirstStep(), m.GetLastStep())
		t.add(text(m.GetMetricName()), integer(m.GetCount()), text(steps), value(m.GetLastValue()), minimum, maximum)
	}
	if _, err := fmt.Fprintln(a.out); err != nil {
		return err
	}
	return t.print(a.out, a.colors)
}
