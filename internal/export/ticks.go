package export

import (
	"math"
	"strconv"

	"gonum.org/v1/plot"
)

// ticks places about five labelled ticks at multiples of 1, 2 or 5 times a power of ten.
// gonum's search for ticks fails for the extremes of doubles, which runs do log.
type ticks struct {
	integers bool // only integers, as steps are
}

const wantedTicks = 6

// Ticks returns the ticks between two values.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	if !(high > low) || math.IsInf(high-low, 0) {
		return []plot.Tick{{Value: low, Label: tickLabel(low, 0)}}
	}
	step := niceStep((high - low) / wantedTicks)
	if t.integers {
		step = max(step, 1)
	}
	first := math.Ceil(low / step)
	var out []plot.Tick
	for i := range 4 * wantedTicks { // bounded in case rounding prevents progress
		v := (first + float64(i)) * step
		if v > high {
			break
		}
		if v == 0 {
			v = 0 // and not -0
		}
		out = append(out, plot.Tick{Value: v, Label: tickLabel(v, step)})
	}
	return out
}

// niceStep returns the smallest 1, 2 or 5 times a power of ten that is at least minStep.
func niceStep(minStep float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(minStep)))
	if power == 0 {
		return minStep // among the smallest doubles there is no power of ten
	}
	for _, factor := range []float64{1, 2, 5} {
		if factor*power >= minStep {
			return factor * power
		}
	}
	return 10 * power
}

// tickLabel formats a value with the digits that distinguish it from its neighbours.
func tickLabel(v, step float64) string {
	size := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case size >= 1e7 || size < 1e-4 || step == 0:
		digits := 3
		if step > 0 {
			digits = min(17, max(2, 1+int(math.Ceil(math.Log10(size)-math.Floor(math.Log10(step))))))
		}
		return strconv.FormatFloat(v, 'g', digits, 64)
	}
	return strconv.FormatFloat(v, 'f', max(0, int(-math.Floor(math.Log10(step)))), 64)
}
