package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/client"
	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

type tailCommand struct {
	Runs   []string `arg:"" name:"run" help:"${run}"`
	Metric []string `short:"m" sep:"none" placeholder:"NAME" help:"Only this metric; may be repeated."`
	Now    bool     `help:"Omit points that were logged before."`
}

// Help is the end of the manual.
func (tailCommand) Help() string {
	return `It ends when the experiments have ended, and resumes when the connection or the server fails.

Example: runicorn-grpc tail vision/vit -m train/loss`
}

// Run prints points as they arrive, one line for each step.
func (c *tailCommand) Run(a *app) error {
	request := &runicornapiv1.TailMetricsRequest{MetricNames: c.Metric}
	if c.Now {
		request.Start = runicornapiv1.TailStart_TAIL_START_NOW
	}
	for _, given := range c.Runs {
		e, err := a.find(given)
		if err != nil {
			return err
		}
		request.RunIds = append(request.RunIds, e.GetResourceName())
	}
	for event, err := range a.client.Tail(a.ctx, request) {
		switch {
		case err != nil:
			return err
		case event.GetHeartbeat() != nil:
		case a.JSON:
			err = a.printJSON(event.TailMetricsResponse)
		case event.GetBatch() != nil:
			err = c.printPoints(a, event)
		default:
			a.printChange(event.GetRunId(), event.GetLogReset(), event.GetStatusChange(), event.GetEnd())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// printPoints prints a batch: the points of each step on one line.
func (c *tailCommand) printPoints(a *app, event *client.Event) error {
	var order []int64
	steps := map[int64][]client.Point{}
	for p := range event.Points() {
		if steps[p.Step] == nil {
			order = append(order, p.Step)
		}
		steps[p.Step] = append(steps[p.Step], p)
	}
	var b strings.Builder
	for _, step := range order {
		if at := steps[step][0].At(); !at.IsZero() {
			b.WriteString(at.Local().Format("15:04:05  "))
		}
		if len(c.Runs) > 1 {
			b.WriteString(clean(event.GetRunId()) + "  ")
		}
		fmt.Fprintf(&b, "step %-6d", step)
		for _, p := range steps[step] {
			fmt.Fprintf(&b, "  %s=%s", clean(p.Metric), pointText(p))
		}
		b.WriteByte('\n')
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}

func pointText(p client.Point) string {
	switch {
	case p.Kind == runicornapiv1.MetricKind_METRIC_KIND_TEXT:
		return clean(p.Text)
	case p.Kind == runicornapiv1.MetricKind_METRIC_KIND_BOOLEAN:
		return strconv.FormatBool(p.Value != 0)
	case p.Exact != "":
		return p.Exact
	default:
		return formatNumber(p.Value)
	}
}

// printChange prints an event that is not data.
func (a *app) printChange(run string, reset *runicornapiv1.LogReset, change *runicornapiv1.StatusChange, end *runicornapiv1.TailEnd) {
	switch {
	case reset != nil:
		a.note("the log of %s was %s: it is sent again from its start", run, strings.ReplaceAll(word(reset.GetReason(), "LOG_RESET_REASON_"), "_", " "))
	case change != nil:
		a.note("%s is now %s", run, change.GetViewerStatus())
	case end != nil && end.GetReason() != runicornapiv1.EndReason_END_REASON_NOT_FOUND: // NOT_FOUND is the error of the tail
		a.note("%s has ended: %s", run, word(end.GetReason(), "END_REASON_"))
	}
}

type logsCommand struct {
	RunID  string `arg:"" name:"run" help:"${run}"`
	Follow bool   `short:"f" help:"Print new lines as they are logged, until the experiment ends."`
	Lines  int    `short:"n" default:"-1" placeholder:"N" help:"Start with the last N lines. Default: all."`
}

// Help is the end of the manual.
func (logsCommand) Help() string { return "Example: runicorn-grpc logs -f -n 20 vision/vit" }

// Run prints lines of a log as they were logged, including colors.
func (c *logsCommand) Run(a *app) error {
	e, err := a.find(c.RunID)
	if err != nil {
		return err
	}
	request := &runicornapiv1.TailLogsRequest{RunId: e.GetResourceName()}
	if c.Lines >= 0 {
		request.LastLines = new(int32(min(c.Lines, 1_000_000))) //nolint:gosec // bounded
	}
	for event, err := range a.client.TailLogs(a.ctx, request) {
		switch {
		case err != nil:
			return err
		case event.GetHeartbeat() != nil:
		case event.GetCaughtUp() != nil && !c.Follow:
			return nil
		case a.JSON:
			err = a.printJSON(event.TailLogsResponse)
		case event.GetBatch() != nil:
			err = a.printLines(event.GetBatch().GetLines())
		case c.Follow:
			a.printChange(event.GetRunId(), event.GetLogReset(), event.GetStatusChange(), event.GetEnd())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *app) printLines(lines []*runicornapiv1.LogLine) error {
	var b strings.Builder
	for _, line := range lines {
		if !line.GetPartial() { // a partial line is sent again when it is complete
			b.WriteString(line.GetText() + "\n")
		}
	}
	_, err := fmt.Fprint(a.out, b.String())
	return err
}
