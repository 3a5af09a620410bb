package downsample

import (
	"math"
	"slices"
)

// candidateRatio is the number of candidates per chosen point after the first stage. The
// authors of MinMaxLTTB found four to be sufficient.
const candidateRatio = 4

// candidates returns the finite points that are not taken yet: all of them, or the extremes
// of small buckets if there are far more than wanted.
func candidates(values []float64, taken []int, wanted int) []int {
	if wanted <= 0 {
		return nil
	}
	taken = slices.Sorted(slices.Values(taken))
	available := func(yield func(i int) bool) {
		next := 0
		for i, v := range values {
			if next < len(taken) && taken[next] == i {
				next++
			} else if isFinite(v) && !yield(i) {
				return
			}
		}
	}
	n := 0
	for range available {
		n++
	}
	buckets := wanted * candidateRatio / 2
	if n <= 2*buckets {
		return slices.AppendSeq(make([]int, 0, n), available)
	}
	selected := make([]int, 0, 2*buckets)
	low, high, bucket, seen := -1, -1, 0, 0
	for i := range available {
		if low < 0 || values[i] < values[low] {
			low = i
		}
		if high < 0 || values[i] > values[high] {
			high = i
		}
		if seen++; seen == bucketStart(bucket+1, buckets, n) {
			selected = appendBoth(selected, low, high)
			low, high = -1, -1
			bucket++
		}
	}
	return selected
}

// bucketStart returns the index of the first point of the i-th bucket of n points.
func bucketStart(i, buckets, n int) int { return int(int64(i) * int64(n) / int64(buckets)) }

func appendBoth(indices []int, a, b int) []int {
	switch {
	case a == b:
		return append(indices, a)
	case a < b:
		return append(indices, a, b)
	default:
		return append(indices, b, a)
	}
}

// triangles chooses the wanted number of candidates by LTTB: of each bucket, the one with
// the largest triangle with the previously chosen point and the mean of the next bucket.
func triangles(steps []int64, values []float64, candidates []int, wanted int) []int {
	if wanted <= 0 || len(candidates) <= wanted {
		return candidates
	}
	plane := newPlane(steps, values, candidates)
	selected := make([]int, 0, wanted)
	before := plane.at(candidates[0])
	for bucket := range wanted {
		from, to := bucketStart(bucket, wanted, len(candidates)), bucketStart(bucket+1, wanted, len(candidates))
		after := plane.at(candidates[len(candidates)-1])
		if bucket+1 < wanted {
			after = plane.mean(candidates[to:bucketStart(bucket+2, wanted, len(candidates))])
		}
		best, area := candidates[from], -1.0
		for _, i := range candidates[from:to] {
			if a := before.area(plane.at(i), after); a > area {
				best, area = i, a
			}
		}
		selected = append(selected, best)
		before = plane.at(best)
	}
	return selected
}

// point has both coordinates in [-1, 1], so that areas do not overflow even for the largest
// doubles.
type point struct{ x, y float64 }

// area returns twice the area of the triangle.
func (a point) area(b, c point) float64 {
	return math.Abs((a.x-c.x)*(b.y-a.y) - (a.x-b.x)*(c.y-a.y))
}

// plane scales the points of a series.
type plane struct {
	steps          []int64
	values         []float64
	scaleX, scaleY float64
}

func newPlane(steps []int64, values []float64, candidates []int) plane {
	p := plane{steps: steps, values: values}
	for _, i := range candidates {
		p.scaleX = max(p.scaleX, math.Abs(float64(steps[i])))
		p.scaleY = max(p.scaleY, math.Abs(values[i]))
	}
	return p
}

func (p plane) at(i int) point {
	return point{scale(float64(p.steps[i]), p.scaleX), scale(p.values[i], p.scaleY)}
}

func scale(v, by float64) float64 {
	if by == 0 {
		return 0
	}
	return v / by
}

func (p plane) mean(indices []int) point {
	var sum point
	for _, i := range indices {
		at := p.at(i)
		sum.x += at.x
		sum.y += at.y
	}
	n := float64(len(indices))
	return point{sum.x / n, sum.y / n}
}
