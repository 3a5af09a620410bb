package export

import (
	"math"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// waves is a table of a metric that goes up and down by one at every step,
// around a line that rises by ten, with a gap in its middle, and of one that
// only rises.
func waves(rows int) *eventlog.Table {
	table := eventlog.NewTable()
	for step := range rows {
		middle := 10 * float64(step) / float64(rows)
		wave := middle + float64(step%2*2-1)
		if step >= rows/3 && step < rows/2 {
			wave = math.NaN()
		}
		table.Put(&eventlog.Row{Step: int64(step), Cells: []eventlog.Cell{
			{Name: "wave", Kind: eventlog.KindNumber, Number: wave}, {Name: "line", Kind: eventlog.KindNumber, Number: middle},
		}})
	}
	table.Compact()
	return table
}

func TestReport_DrawsTheTrendOfANoisyCurve(t *testing.T) {
	const rows = 60_000
	report := NewReport(1, nil)
	report.AddRun(&Run{ID: "r"}, waves(rows), eventlog.Selection{})
	if report.figures["line"].lines[0].trend != nil || report.note("line", true) != "" {
		t.Error("a curve that only rises has a trend")
	}
	trend := report.figures["wave"].lines[0].trend
	if len(trend) != trendParts || len(segments(trend)) != 2 {
		t.Fatalf("%d parts in %d pieces", len(trend), len(segments(trend)))
	}
	for i, at := range trend {
		if want := 10 * at.X / rows; !math.IsNaN(at.Y) && math.Abs(at.Y-want) > 0.01 {
			t.Errorf("part %d: %v at step %v, want %v", i, at.Y, at.X, want)
		}
	}
	svg, err := report.plot("wave")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(svg), "stroke-opacity"); n != 2 { // the segments at both sides of the gap; the trend is opaque
		t.Errorf("%d faint lines, want 2", n)
	}
	if report.note("wave", true) == "" {
		t.Error("the lines are not explained")
	}
}
