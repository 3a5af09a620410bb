package cli

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// allViewers is the viewer of requests to all Viewers.
const allViewers = "-"

type viewersCommand struct{}

// Help is the end of the manual.
func (viewersCommand) Help() string { return "Example: runicorn-grpc viewers" }

// Run prints the Viewers.
func (viewersCommand) Run(a *app) error {
	answer, err := a.client.ViewerService.ListViewers(a.ctx, &runicornapiv1.ListViewersRequest{})
	if err != nil {
		return err
	}
	t := &table{}
	t.header("VIEWER", "GENERATION", "VERSION", "STATE", "URL")
	for _, v := range answer.GetViewers() {
		if a.JSON {
			if err := a.printJSON(v); err != nil {
				return err
			}
			continue
		}
		state := cell{text: word(v.GetHealth().GetState(), "VIEWER_STATE_"), color: "32"}
		switch v.GetHealth().GetState() {
		case runicornapiv1.ViewerState_VIEWER_STATE_DOWN:
			state = cell{text: clean("down: " + v.GetHealth().GetLastError().GetMessage()), color: "31"}
		case runicornapiv1.ViewerState_VIEWER_STATE_BUSY:
			state.color = "33"
		}
		t.add(text(v.GetViewer()), text(v.GetGeneration()), text(v.GetVersion()), state, text(v.GetUrl()))
	}
	if a.JSON {
		return nil
	}
	return t.print(a.out, a.colors)
}

type lsCommand struct {
	Filter  string   `arg:"" optional:"" help:"Filter, such as 'status = RUNNING AND path:\"vision\"'; see docs/search.md. Default: all."`
	Metric  []string `short:"m" sep:"none" placeholder:"NAME" help:"Add a column with the last value of a metric; may be repeated."`
	OrderBy string   `placeholder:"FIELD" help:"Order, such as 'metrics.loss.min' or 'create_time desc', which is the default."`
	Limit   int      `short:"n" placeholder:"N" help:"Maximum number of experiments. Default: all."`
	Viewer  string   `default:"-" placeholder:"NAME" help:"Only experiments of this Viewer."`
}

// Help is the end of the manual.
func (lsCommand) Help() string {
	return `Example: runicorn-grpc ls 'metrics.loss.last < 0.5' -m loss -m val/accuracy --order-by metrics.loss.last`
}

// Run prints experiments, one on each line.
func (c *lsCommand) Run(a *app) error {
	request := &runicornapiv1.ListExperimentsRequest{Viewer: c.Viewer, Filter: c.Filter, MetricNames: c.Metric, OrderBy: c.OrderBy}
	if c.Limit > 0 {
		request.PageSize = int32(min(c.Limit, 1000)) //nolint:gosec // bounded
	}
	t := &table{}
	if len(c.Metric) > 0 {
		t.header(append([]string{"VIEWER", "RUN", "PATH", "ALIAS", "STATUS", "CREATED"}, cleanAll(c.Metric)...)...)
	} else {
		t.header("VIEWER", "RUN", "PATH", "ALIAS", "STATUS", "CREATED", "BEST")
	}
	var listErr error
	count := 0
	for e, err := range a.client.Experiments(a.ctx, request) {
		if err != nil {
			listErr = err
			break
		}
		if a.JSON {
			if err := a.printJSON(e); err != nil {
				return err
			}
		} else {
			t.add(c.row(e)...)
		}
		if count++; count == c.Limit {
			break
		}
	}
	if _, partial := errors.AsType[*client.PartialError](listErr); listErr != nil && !partial || a.JSON {
		return listErr
	}
	return errors.Join(t.print(a.out, a.colors), listErr)
}

func (c *lsCommand) row(e *runicornapiv1.Experiment) []cell {
	row := []cell{text(e.GetViewer()), text(e.GetRunId()), text(e.GetPath()), text(e.GetAlias()), status(e), text(formatTime(e.GetCreateTime()))}
	if len(c.Metric) == 0 {
		best := cell{}
		if b := e.GetBestMetric(); b != nil && b.Value != nil {
			best = text(fmt.Sprintf("%s=%s", b.GetMetricName(), formatNumber(b.GetValue())))
		}
		return append(row, best)
	}
	for _, name := range c.Metric {
		last := cell{}
		for _, m := range e.GetMetrics() {
			if m.GetMetricName() == name && last.text == "" {
				last = value(m.GetLastValue())
			}
		}
		row = append(row, last)
	}
	return row
}

// value returns the cell of a value of any kind.
func value(v *runicornapiv1.Value) cell {
	switch v := v.GetKind().(type) {
	case *runicornapiv1.Value_Number:
		return number(v.Number)
	case *runicornapiv1.Value_Integer:
		return integer(v.Integer)
	case *runicornapiv1.Value_Boolean:
		return cell{text: strconv.FormatBool(v.Boolean)}
	case *runicornapiv1.Value_Text:
		return text(v.Text)
	case *runicornapiv1.Value_Json:
		return text(v.Json)
	default:
		return cell{}
	}
}

func cleanAll(texts []string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = clean(s)
	}
	return out
}

type bestCommand struct {
	Metric string `arg:"" help:"Exact name of the metric."`
	Filter string `arg:"" optional:"" help:"Filter of the experiments. Default: all."`
	Min    bool   `help:"Smaller values are better."`
	Last   bool   `help:"Rank by the last value of each experiment instead of its best one."`
}

// Help is the end of the manual.
func (bestCommand) Help() string {
	return `Example: runicorn-grpc best val/loss --min 'path:"vision"'`
}

// Run prints the best experiment.
func (c *bestCommand) Run(a *app) error {
	request := &runicornapiv1.FindBestExperimentRequest{Viewer: allViewers, MetricName: c.Metric, Filter: c.Filter}
	if c.Min {
		request.Goal = runicornapiv1.Goal_GOAL_MINIMIZE
	}
	if c.Last {
		request.Ranking = runicornapiv1.Ranking_RANKING_LAST
	}
	best, err := a.client.MetricService.FindBestExperiment(a.ctx, request)
	if err != nil {
		return err
	}
	var missing error
	if n := best.GetNotReadCount(); n > 0 && len(best.GetNotRead()) > 0 {
		first := best.GetNotRead()[0]
		missing = fmt.Errorf("%d experiments could not be read, such as %s: %s", n, first.GetRunId(), first.GetError().GetMessage())
	}
	e := best.GetExperiment()
	if e == nil {
		none := fmt.Errorf("none of %d experiments has a finite value of %q; runicorn-grpc show RUN lists the metrics of one", best.GetExaminedCount(), c.Metric)
		return errors.Join(none, missing)
	}
	if a.JSON {
		return errors.Join(a.printJSON(best), missing)
	}
	t := &table{}
	t.header("VALUE", "STEP", "VIEWER", "RUN", "PATH", "ALIAS", "STATUS")
	t.add(number(best.GetValue()), integer(best.GetStep()), text(e.GetViewer()), text(e.GetRunId()), text(e.GetPath()), text(e.GetAlias()), status(e))
	return errors.Join(t.print(a.out, a.colors), missing)
}
