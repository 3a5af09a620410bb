package export

import (
	"image/color"
	"math"

	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// A long noisy curve covers the curves of other runs. It is drawn faint, and its trend is
// drawn on top of all such curves: the mean of each part of the steps.

// trendParts is the number of parts of equal length into which the steps are divided.
const trendParts = 150

// noiseRatio is how many times its range a curve must go up and down to be noisy.
const noiseRatio = 12

// trendOf returns the means of the finite values of each part, at the middle of its
// steps. A part without values has the mean NaN, which interrupts the line. The result is
// nil for a curve that is not noisy, judged by the kept points.
func trendOf(steps []int64, values []float64, kept []int) plotter.XYs {
	if len(values) < 2*trendParts || !isNoisy(values, kept) {
		return nil
	}
	first, last := float64(steps[0]), float64(steps[len(steps)-1])
	trend := make(plotter.XYs, trendParts)
	counts := make([]float64, trendParts)
	for i, v := range values {
		if !isPlottable(v) {
			continue
		}
		x := float64(steps[i])
		part := min(int((x-first)/(last-first)*trendParts), trendParts-1)
		at := &trend[part]
		counts[part]++
		at.X += (x - at.X) / counts[part]
		at.Y += (v - at.Y) / counts[part]
	}
	for part, n := range counts {
		if n == 0 {
			trend[part].Y = math.NaN()
		}
	}
	return trend
}

// isNoisy reports whether a curve goes up and down noiseRatio times its range.
func isNoisy(values []float64, kept []int) bool {
	low, high, travel, before := math.Inf(1), math.Inf(-1), 0.0, math.NaN()
	for _, i := range kept {
		v := values[i]
		if !isPlottable(v) {
			continue
		}
		low, high = min(low, v), max(high, v)
		if step := math.Abs(v - before); step >= 0 { // not NaN
			travel += step
		}
		before = v
	}
	return high > low && travel/noiseRatio > high-low
}

// dim returns the colour of a curve below its trend.
func dim(c color.RGBA) color.Color {
	const opacity = 70
	return color.NRGBA{R: c.R, G: c.G, B: c.B, A: opacity}
}

// The line widths of a curve, and of one that has a trend.
const (
	lineWidth  = 1.2
	dimWidth   = 0.6
	trendWidth = 1.6
)

// trendLines returns the lines of the trend.
func (c *curve) trendLines() ([]drawing, error) {
	var out []drawing
	for _, segment := range segments(c.trend) {
		drawn, err := c.draw(segment, false)
		if err != nil {
			return nil, err
		}
		if line, ok := drawn.(*plotter.Line); ok {
			line.Width = vg.Points(trendWidth)
		}
		out = append(out, drawn)
	}
	return out, nil
}
