package demoviewer

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// errText says that the column that downsampling uses holds text, which the Viewer answers with a plain 500.
var errText = errors.New("text in the column that is downsampled by")

// downsampleRows picks rows as the Viewer does: Largest Triangle Three Buckets over one column, the first numeric one by name
// within the first 100 rows, nulls counting as 0. It returns nil when nothing is to be downsampled.
func downsampleRows(t table, points int) ([]int, error) {
	if points == 0 || t.rows <= points {
		return nil, nil
	}
	column := t.numericColumn()
	if column < 0 {
		return uniform(t.rows, points), nil
	}
	xs, ys := make([]float64, t.rows), make([]float64, t.rows)
	for i := range t.rows {
		cells := t.row(i)
		x, err := pythonFloat(cells[0])
		if err != nil {
			return nil, err
		}
		y, err := pythonFloat(cells[column])
		if err != nil {
			return nil, err
		}
		xs[i], ys[i] = x, y
	}
	return largestTriangles(xs, ys, points), nil
}

// numericColumn is the first column that has a number, or -1.
func (t table) numericColumn() int {
	best := len(t.columns)
	for i := range min(t.rows, 100) {
		for j, cell := range t.row(i)[1:best] {
			if len(cell) > 0 && cell[0] != '"' {
				best = j + 1
				break
			}
		}
	}
	if best == len(t.columns) {
		return -1
	}
	return best
}

// uniform picks evenly, and the last row.
func uniform(n, points int) []int {
	picked := make([]int, points)
	for i := range picked {
		picked[i] = int(float64(i) * (float64(n) / float64(points)))
	}
	picked[points-1] = n - 1
	return picked
}

// largestTriangles keeps the first and the last row and, of each bucket between, the row that spans the largest triangle
// with the row kept before and the mean of the bucket after.
func largestTriangles(xs, ys []float64, points int) []int {
	n := len(xs)
	width := float64(n-2) / float64(points-2)
	edge := func(i int) int { return min(int(float64(i)*width)+1, n) }
	picked := append(make([]int, 0, points), 0)
	last := 0
	for i := range points - 2 {
		from, to := edge(i+1), edge(i+2)
		meanX, meanY := mean(xs, to, edge(i+3)), mean(ys, to, edge(i+3))
		best, area := from, -1.0
		for j := from; j < to; j++ {
			a := (xs[last]-meanX)*(ys[j]-ys[last]) - (xs[last]-xs[j])*(meanY-ys[last])
			if a = max(a, -a); a > area {
				best, area = j, a
			}
		}
		picked = append(picked, best)
		last = best
	}
	return append(picked, n-1)
}

// mean is the mean of a bucket, or the last value when it is empty.
func mean(values []float64, from, to int) float64 {
	if to <= from {
		return values[len(values)-1]
	}
	sum := 0.0
	for _, x := range values[from:to] {
		sum += x
	}
	return sum / float64(to-from)
}

// pythonFloat is Python's float() of a cell; null counts as 0.
func pythonFloat(cell json.RawMessage) (float64, error) {
	switch s := string(cell); s {
	case "", "null", "false":
		return 0, nil
	case "true":
		return 1, nil
	default:
		x, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(s, `"`)), 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %s", errText, s)
		}
		return x, nil
	}
}
