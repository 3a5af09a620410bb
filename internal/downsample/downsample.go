// Package downsample reduces a series: it chooses the points that show its shape and
// returns their indices. It is pure, and knows neither Runicorn nor the storage of a
// series.
//
// It first takes the points that must be kept (first, last, minimum, maximum, the edges of
// the runs of non-finite values), as far as the limit allows. The remaining points are
// chosen by MinMaxLTTB: the extremes of many small buckets are candidates, of which those
// with the largest triangles are chosen. Texts and booleans have no shape: their changes
// are kept. The result is deterministic, so that repeated requests show the same curve.
package downsample

import (
	"math"
	"slices"
)

// Pick chooses at most maxPoints points of a numeric series and returns their indices,
// ascending and distinct. A series that fits is kept completely. Steps are the horizontal
// positions of the points and need not ascend.
//
// The first, the last, the lowest and the highest point and both ends of every run of NaN
// and infinities are included. If maxPoints is too small for all of them, they are taken in
// this order, and an evenly spaced part of the ends.
func Pick(steps []int64, values []float64, maxPoints int) []int {
	if all, ok := pickTrivial(len(values), maxPoints); ok {
		return all
	}
	picked := anchors(values, maxPoints)
	wanted := maxPoints - len(picked)
	picked = append(picked, triangles(steps, values, candidates(values, picked, wanted), wanted)...)
	slices.Sort(picked)
	return picked
}

// PickChanges chooses at most maxPoints points of a series of texts or booleans in the same
// way. The first and the last point have priority, then the points where the value changes,
// then those just before, then others; of each group that does not fit, an evenly spaced
// part is taken.
func PickChanges[T comparable](values []T, maxPoints int) []int {
	if all, ok := pickTrivial(len(values), maxPoints); ok {
		return all
	}
	picked := newPicks(maxPoints, len(values))
	var changes, before, others []int
	for i := 1; i < len(values)-1; i++ {
		switch {
		case values[i] != values[i-1]:
			changes = append(changes, i)
		case values[i] != values[i+1]:
			before = append(before, i)
		default:
			others = append(others, i)
		}
	}
	picked.addSpread(changes)
	picked.addSpread(before)
	picked.addSpread(others)
	slices.Sort(picked.indices)
	return picked.indices
}

// pickTrivial handles the cases without a choice.
func pickTrivial(n, maxPoints int) ([]int, bool) {
	if maxPoints <= 0 || n == 0 {
		return nil, true
	}
	if n > maxPoints {
		return nil, false
	}
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all, true
}

// picks is a bounded set of indices in the order of choice.
type picks struct {
	indices []int
	seen    map[int]struct{}
	limit   int
}

// newPicks returns a set with the first and the last of n points.
func newPicks(limit, n int) *picks {
	p := &picks{seen: map[int]struct{}{}, limit: limit}
	p.add(0)
	p.add(n - 1)
	return p
}

func (p *picks) remaining() int { return p.limit - len(p.indices) }

func (p *picks) has(index int) bool {
	_, ok := p.seen[index]
	return ok
}

func (p *picks) add(index int) {
	if p.remaining() > 0 && !p.has(index) {
		p.seen[index] = struct{}{}
		p.indices = append(p.indices, index)
	}
}

// addSpread adds the indices, or an evenly spaced part of them that fits.
func (p *picks) addSpread(indices []int) {
	indices = slices.DeleteFunc(indices, p.has)
	n := min(p.remaining(), len(indices))
	for i := range n {
		p.add(indices[i*len(indices)/n])
	}
}

// anchors returns the points that must be kept, in no particular order.
func anchors(values []float64, limit int) []int {
	picked := newPicks(limit, len(values))
	lowest, highest := -1, -1
	var edges []int
	for i, v := range values {
		if !isFinite(v) {
			if i == 0 || i == len(values)-1 || isFinite(values[i-1]) || isFinite(values[i+1]) {
				edges = append(edges, i)
			}
			continue
		}
		if lowest < 0 || v < values[lowest] {
			lowest = i
		}
		if highest < 0 || v > values[highest] {
			highest = i
		}
	}
	if lowest >= 0 {
		picked.add(lowest)
		picked.add(highest)
	}
	picked.addSpread(edges)
	return picked.indices
}

func isFinite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
