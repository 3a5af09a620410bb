package export

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/downsample"
	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The number of points of a curve in a report: what the width of a plot can show, and
// fewer if many runs share a plot.
const (
	maxCurvePoints = 1000
	minCurvePoints = 50
)

// maxPlots is the maximum number of metrics with a plot, each of which takes a
// millisecond. The others have only a table.
const maxPlots = 500

// Report collects downsampled curves and statistics, then writes them as HTML or
// Markdown.
type Report struct {
	runs    []*Run
	points  int
	figures map[string]*figure
	// notDrawn are the metrics without a figure because of maxPlots.
	notDrawn map[string]bool
	stats    map[string][]stat
	images   map[*Run][]Image
	compute  Compute
}

// stat is a line in the table of a metric.
type stat struct {
	run  *Run
	kind eventlog.Kind
	eventlog.Stat
}

// NewReport returns an empty report for a number of runs.
func NewReport(runs int, compute Compute) *Report {
	return &Report{
		points:  max(minCurvePoints, maxCurvePoints/max(1, runs/4)),
		figures: map[string]*figure{}, notDrawn: map[string]bool{}, stats: map[string][]stat{}, images: map[*Run][]Image{}, compute: compute,
	}
}

// AddRun adds what the report needs of a run. The table may change afterwards.
func (r *Report) AddRun(run *Run, t *eventlog.Table, sel eventlog.Selection) {
	number := len(r.runs)
	r.runs = append(r.runs, run)
	for _, s := range t.Stats(sel) {
		r.stats[s.Name] = append(r.stats[s.Name], stat{run: run, kind: s.Kind, Stat: s})
	}
	for _, name := range t.Names(sel) {
		if r.figures[name] == nil && len(r.figures) == maxPlots {
			r.notDrawn[name] = true
			continue
		}
		for _, s := range t.Series(eventlog.Selection{Names: []string{name}}) {
			if s.Kind == eventlog.KindText {
				continue
			}
			c := curve{run: run, number: number, stepped: s.Kind == eventlog.KindBoolean}
			if c.stepped {
				s.Keep(downsample.PickChanges(s.Values, r.points))
			} else {
				kept := downsample.Pick(s.Steps, s.Values, r.points)
				c.trend = trendOf(s.Steps, s.Values, kept)
				s.Keep(kept)
			}
			c.steps, c.values = slices.Clone(s.Steps), slices.Clone(s.Values) // so that the whole columns are not retained
			f := r.figures[name]
			if f == nil {
				f = &figure{metric: name}
				r.figures[name] = f
			}
			f.lines = append(f.lines, c)
		}
	}
}

// Limitations returns the limitations of this report.
func (r *Report) Limitations() []string {
	if len(r.notDrawn) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Of %d metrics %d are plotted; the others have tables only.", len(r.notDrawn)+len(r.figures), len(r.figures))}
}

// AddImages adds the images of a run, which are opened when they are written.
func (r *Report) AddImages(run *Run, images []Image) { r.images[run] = images }

// title returns the title of the report.
func (r *Report) title() string {
	if len(r.runs) == 1 {
		return r.runs[0].label()
	}
	return strconv.Itoa(len(r.runs)) + " experiments"
}

// metrics returns the names of all metrics, sorted.
func (r *Report) metrics() []string { return slices.Sorted(maps.Keys(r.stats)) }

// statHeader is the header of the table of a metric.
var statHeader = []string{"experiment", "kind", "points", "first step", "last step", "last value", "minimum", "maximum", "NaN or ±Inf"}

// rows returns the table of a metric.
func (r *Report) rows(metric string) [][]string {
	var out [][]string
	for _, s := range r.stats[metric] {
		kind := cmp.Or(kindNames[s.kind], "unknown")
		row := []string{
			s.run.label(), kind, strconv.Itoa(s.Count), strconv.FormatInt(s.FirstStep, 10), strconv.FormatInt(s.LastStep, 10),
			lastValue(&s.Last), "", "", "",
		}
		if s.HasRange && s.kind == eventlog.KindNumber {
			row[6], row[7] = Number(s.Min), Number(s.Max)
		}
		switch {
		case s.run.Merged && s.Indeterminate > 0:
			row[8] = "at most " + strconv.Itoa(s.Indeterminate)
		case s.kind == eventlog.KindNumber:
			row[8] = strconv.Itoa(s.NonFinite)
		}
		if s.Count == 0 {
			row[3], row[4], row[5] = "", "", ""
		}
		out = append(out, row)
	}
	return out
}

// lastValue formats a value for the table.
func lastValue(c *eventlog.Cell) string {
	switch c.Kind {
	case eventlog.KindText:
		return c.Text
	case eventlog.KindBoolean:
		return strconv.FormatBool(c.Number != 0)
	}
	return string(appendLogged(nil, c))
}

// note explains why a metric has no plot, or what its plot leaves out.
func (r *Report) note(metric string, plotted bool) string {
	outOfRange, hasTrend := 0, false
	if f := r.figures[metric]; f != nil {
		for _, c := range f.lines {
			hasTrend = hasTrend || c.trend != nil
			for _, v := range c.values {
				if !isPlottable(v) && !math.IsNaN(v) && !math.IsInf(v, 0) {
					outOfRange++
				}
			}
		}
	}
	switch {
	case !plotted && r.figures[metric] != nil:
		return "No value can be drawn."
	case r.notDrawn[metric]:
		return "Not plotted: there are too many metrics."
	case outOfRange > 0:
		return "Values beyond what axes can hold are left out of the plot."
	case hasTrend:
		return "Curves that go up and down all the time are drawn faint; the strong lines are their means, each over a part of the steps."
	}
	return ""
}

// plot draws a metric; nil if there is nothing to draw.
func (r *Report) plot(metric string) ([]byte, error) {
	if f := r.figures[metric]; f != nil {
		return f.svg()
	}
	return nil, nil
}
