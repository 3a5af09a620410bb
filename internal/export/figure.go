package export

import (
	"bytes"
	"fmt"
	"image/color"
	"math"
	"slices"
	"unicode"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is the plot of one metric for all runs of a report.
type figure struct {
	metric string
	lines  []curve
}

// curve is the downsampled metric of one run.
type curve struct {
	run     *Run
	number  int // of the run in the report; selects the colour
	steps   []int64
	values  []float64
	stepped bool        // a boolean, drawn in steps
	trend   plotter.XYs // nil unless the curve is noisy
}

// The size of a plot. The legend is below it, with one line per run.
const (
	plotWidth    = 8 * vg.Inch
	plotHeight   = 3.4 * vg.Inch
	legendLine   = 0.2 * vg.Inch
	legendMargin = 0.1 * vg.Inch
)

// palette is the colour-blind safe palette of Okabe and Ito without its yellow, which is
// invisible on white. Repeated colours are distinguished by dashes.
var palette = []color.RGBA{
	{R: 0, G: 114, B: 178, A: 255},
	{R: 213, G: 94, B: 0, A: 255},
	{R: 0, G: 158, B: 115, A: 255},
	{R: 204, G: 121, B: 167, A: 255},
	{R: 86, G: 180, B: 233, A: 255},
	{R: 230, G: 159, B: 0, A: 255},
	{R: 0, G: 0, B: 0, A: 255},
}

var dashes = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}}

// style is how the line of a run is drawn.
func style(number int) draw.LineStyle {
	return draw.LineStyle{
		Color: palette[number%len(palette)], Width: vg.Points(lineWidth),
		Dashes: dashes[number/len(palette)%len(dashes)],
	}
}

// name returns the label of the curve in the legend.
func (c *curve) name() string {
	if c.stepped {
		return c.run.label() + " (boolean: 0 false, 1 true)"
	}
	return c.run.label()
}

// maxPlotted is the maximum value that is drawn. Beyond it, the difference of two values
// overflows, and an axis has no ticks.
const maxPlotted = math.MaxFloat64 / 8

func isPlottable(v float64) bool { return math.Abs(v) <= maxPlotted }

// svg draws the figure; nil if there is nothing to draw.
func (f *figure) svg() ([]byte, error) {
	p, legend := plot.New(), plot.NewLegend()
	p.X.Label.Text, p.Y.Label.Text = "step", label(f.metric)+" (as logged)"
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{integers: true}, ticks{integers: f.isBoolean()}
	p.Add(&plotter.Grid{Vertical: gridStyle, Horizontal: gridStyle})
	legend.Left, legend.Top = true, true
	legend.TextStyle.Font.Size, legend.Padding = vg.Points(9), vg.Points(3)
	for _, style := range []*text.Style{&p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &legend.TextStyle} {
		style.Font.Variant = "Sans"
	}
	empty, err := f.add(p, &legend)
	if err != nil {
		return nil, fmt.Errorf("draw %s: %w", f.metric, err)
	}
	if empty {
		return nil, nil
	}
	widen(&p.X)
	widen(&p.Y)
	below := vg.Length(len(f.lines))*legendLine + legendMargin
	canvas := vgsvg.New(plotWidth, plotHeight+below)
	whole := draw.New(canvas)
	p.Draw(draw.Crop(whole, 0, 0, below, 0))
	legend.Draw(draw.Crop(whole, vg.Inch, 0, 0, -plotHeight))
	var out bytes.Buffer
	if _, err := canvas.WriteTo(&out); err != nil {
		return nil, fmt.Errorf("draw %s: %w", f.metric, err)
	}
	return withoutProlog(out.Bytes()), nil
}

// add draws the curves, then their trends on top.
func (f *figure) add(p *plot.Plot, legend *plot.Legend) (empty bool, err error) {
	var trends []plot.Plotter
	empty = true
	for i := range f.lines {
		c := &f.lines[i]
		thumb, err := c.add(p)
		if err != nil {
			return false, err
		}
		over, err := c.trendLines()
		if err != nil {
			return false, err
		}
		for _, line := range over {
			thumb, trends = line, append(trends, line)
		}
		if thumb != nil {
			empty = false
			legend.Add(label(c.name()), thumb)
		}
	}
	p.Add(trends...)
	return empty, nil
}

var gridStyle = draw.LineStyle{Color: color.Gray{Y: 225}, Width: vg.Points(0.5)}

// withoutProlog returns the svg element, which HTML can contain.
func withoutProlog(svg []byte) []byte {
	if at := bytes.Index(svg, []byte("<svg")); at > 0 {
		return svg[at:]
	}
	return svg
}

// isBoolean reports whether all values are booleans.
func (f *figure) isBoolean() bool {
	return !slices.ContainsFunc(f.lines, func(c curve) bool { return !c.stepped })
}

// add draws the segments of values that can be drawn. A segment of one point is a dot. It
// returns the line for the legend.
func (c *curve) add(p *plot.Plot) (plot.Thumbnailer, error) {
	points := make(plotter.XYs, len(c.values))
	for i := range points {
		points[i].X, points[i].Y = float64(c.steps[i]), c.values[i]
	}
	var thumb plot.Thumbnailer
	for _, segment := range segments(points) {
		drawn, err := c.draw(segment, c.trend != nil)
		if err != nil {
			return nil, err
		}
		p.Add(drawn)
		thumb = drawn
	}
	return thumb, nil
}

// segments returns the uninterrupted parts of points that can be drawn.
func segments(points plotter.XYs) (out []plotter.XYs) {
	from := 0
	for i := range len(points) + 1 {
		if i < len(points) && isPlottable(points[i].Y) {
			continue
		}
		if i > from {
			out = append(out, points[from:i])
		}
		from = i + 1
	}
	return out
}

type drawing interface {
	plot.Plotter
	plot.Thumbnailer
}

// draw returns a line, or a dot for one point.
func (c *curve) draw(points plotter.XYs, dimmed bool) (drawing, error) {
	if len(points) == 1 {
		dots, err := plotter.NewScatter(points)
		if err != nil {
			return nil, err
		}
		dots.GlyphStyle = draw.GlyphStyle{Color: style(c.number).Color, Radius: vg.Points(2), Shape: draw.CircleGlyph{}}
		return dots, nil
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, err
	}
	line.LineStyle = style(c.number)
	if dimmed {
		line.Color, line.Width, line.Dashes = dim(palette[c.number%len(palette)]), vg.Points(dimWidth), nil
	}
	if c.stepped {
		line.StepStyle = plotter.PostStep
	}
	return line, nil
}

// widen extends an axis whose length is too small for ticks, compared with its values or
// with the smallest doubles.
func widen(a *plot.Axis) {
	const minRelative, minAbsolute = 1e-9, 1e-290
	size := max(math.Abs(a.Min), math.Abs(a.Max))
	if a.Max-a.Min > max(size*minRelative, minAbsolute) {
		return
	}
	margin := max(size*minRelative, 1)
	if size > minAbsolute && size < 1 {
		margin = size / 2
	}
	a.Min, a.Max = a.Min-margin, a.Max+margin
}

// label makes a text fit for a plot: one line of limited length.
func label(line string) string {
	const maxRunes = 80
	out := make([]rune, 0, maxRunes)
	for _, r := range line {
		if len(out) == maxRunes {
			return string(out) + "…"
		}
		if unicode.IsControl(r) {
			r = ' '
		}
		out = append(out, r)
	}
	return string(out)
}
