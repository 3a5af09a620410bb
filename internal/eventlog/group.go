package eventlog

import (
	"cmp"
	"slices"
)

// group has metrics that were first logged together: they share steps and times.
//
// Rows [0, sorted) ascend by step. Late steps are appended after them, in log order; this
// tail is merged by compact, because inserting late rows one by one would move all columns
// each time. A step is either in the sorted part or in the tail, where it may occur several
// times.
type group struct {
	columns         []*column
	steps           []int64
	times           []float64
	sorted          int
	row             int    // row of the current Put
	put             uint64 // number of the current Put
	expectedRows    uint64 // estimate of the final number of rows, 0 if unknown
	nextSparseCheck int    // number of rows at which to check for sparse columns
}

const (
	minTail        = 4096 // a tail is merged when it exceeds this and a quarter of the rows
	minSparseCheck = 1024 // minimum number of rows before a column can be sparse
	sparseShare    = 4    // a column is sparse if less than one in so many cells is present
	// With many columns, fewer rows must suffice: a line of 10,000 metrics followed by
	// lines of one metric each, a few bytes of log, would otherwise take 80 KB per line.
	minSparseRows    = 16
	firstSparseCells = 256 << 10
)

// ensureRow finds or adds the row of a step and sets its time.
func (g *group) ensureRow(step int64, time float64) {
	row, ok := g.find(step)
	if !ok {
		row = len(g.steps)
		if row == g.sorted && (row == 0 || step > g.steps[row-1]) {
			g.sorted++
		}
		g.steps = extend(g, g.steps, row+1, 1)
		g.times = extend(g, g.times, row+1, 1)
		g.steps[row], g.times[row] = step, time
	}
	g.row = row
	if g.times[row] != time && g.isRewritten(row) {
		g.times[row] = time
	}
}

// smallRows is the length up to which columns double their capacity.
const smallRows = 4096

// capacityFor returns the capacity, in rows, of a column that must hold n. All columns of a
// group grow at the same row, and the old memory is garbage as large as the table. So they
// grow to the expected number of rows if it is known; trim returns unused capacity, which
// was hardly touched. Otherwise they grow by an eighth: append's quarter would cost 15 MiB
// more for a million rows.
func (g *group) capacityFor(n int) int {
	const maxFactor, margin = 256, 1.03
	if n <= smallRows {
		return 2 * n
	}
	if g.expectedRows > g.put {
		return int(float64(n) * min(maxFactor, margin*float64(g.expectedRows)/float64(g.put)))
	}
	return n + n/8
}

// trim releases unused capacity.
func (g *group) trim() {
	g.steps, g.times = trim(g.steps), trim(g.times)
	for _, c := range g.columns {
		c.values, c.present, c.kinds, c.times = trim(c.values), trim(c.present), trim(c.kinds), trim(c.times)
	}
}

func trim[T any](s []T) []T {
	if cap(s) <= 2*(len(s)+smallRows) {
		return s
	}
	return slices.Clone(s)
}

// find looks up the row of a step. It may miss a step in the tail, where duplicates are
// harmless.
func (g *group) find(step int64) (row int, ok bool) {
	last := len(g.steps) - 1
	switch {
	case last < 0 || g.sorted > last && step > g.steps[last]:
		return 0, false
	case g.steps[last] == step:
		return last, true
	}
	if len(g.steps)-g.sorted > minTail+g.sorted/4 {
		g.compact()
	}
	return slices.BinarySearch(g.steps[:g.sorted], step)
}

// isRewritten reports whether the current Put writes every cell of the row that uses the
// row's time, so that the row's time may change.
func (g *group) isRewritten(row int) bool {
	for _, c := range g.columns {
		if c.times == nil && c.put != g.put && c.has(row) {
			return false
		}
	}
	return true
}

// compact merges the tail into the sorted rows.
func (g *group) compact() {
	if g.sorted == len(g.steps) {
		return
	}
	tail := make([]int, len(g.steps)-g.sorted)
	for i := range tail {
		tail[i] = g.sorted + i
	}
	slices.SortStableFunc(tail, func(a, b int) int { return cmp.Compare(g.steps[a], g.steps[b]) })
	first, _ := slices.BinarySearch(g.steps[:g.sorted], g.steps[tail[0]])
	r := newReorder(g, first)
	for row := first; row < g.sorted; row++ {
		for len(tail) > 0 && g.steps[tail[0]] < g.steps[row] {
			r.add(tail[0])
			tail = tail[1:]
		}
		r.add(row)
	}
	for _, row := range tail {
		r.add(row)
	}
	g.steps = append(g.steps[:first], r.steps...)
	g.times = append(g.times[:first], r.newTimes...)
	g.sorted = len(g.steps)
	for _, c := range g.columns {
		r.apply(c, g)
	}
}

// reorder is a new order of the rows from first on.
type reorder struct {
	first    int
	from     *group
	steps    []int64
	newTimes []float64
	oldTimes []float64
	to       []int // new index of each old row
}

func newReorder(from *group, first int) *reorder {
	n := len(from.steps) - first
	return &reorder{
		first:    first,
		from:     from,
		steps:    make([]int64, 0, n),
		newTimes: make([]float64, 0, n),
		oldTimes: slices.Clone(from.times[first:]),
		to:       make([]int, n),
	}
}

// add appends an old row, or merges it into the previous one if that has the same step.
func (r *reorder) add(row int) {
	step, time := r.from.steps[row], r.from.times[row]
	last := len(r.steps) - 1
	if last >= 0 && r.steps[last] == step {
		r.newTimes[last] = time
	} else {
		r.steps, r.newTimes = append(r.steps, step), append(r.newTimes, time)
		last++
	}
	r.to[row-r.first] = last
}

// apply moves the cells of a column into the group, which has the new steps and times. It
// processes them in log order, so that the last write wins.
func (r *reorder) apply(c *column, into *group) {
	old, base := c.detach(r.first)
	c.group = into
	for i := range old.rows(0, len(old.values)) {
		row := base + i
		time := r.oldTimes[row-r.first]
		if old.times != nil {
			time = old.times[i]
		}
		to := r.first + r.to[row-r.first]
		if kind := old.kind(i); kind == kindErased {
			c.erase(to)
		} else {
			c.set(to, kind, old.values[i], time)
		}
	}
}

// split moves sparse columns into new groups, one per set of rows. The group must be
// compacted.
func (g *group) split() (groups []*group) {
	g.nextSparseCheck = 2 * len(g.steps)
	isSparse := func(c *column) bool { return c.count*sparseShare < len(g.steps) }
	sparse := slices.Collect(func(yield func(*column) bool) {
		for _, c := range g.columns {
			if isSparse(c) && !yield(c) {
				return
			}
		}
	})
	g.columns = slices.DeleteFunc(g.columns, isSparse)
	for len(sparse) > 0 {
		first := sparse[0]
		present := slices.Clone(first.present)
		r, into := newReorder(g, 0), &group{nextSparseCheck: minSparseCheck}
		for row := range first.rows(0, len(first.values)) {
			r.add(row)
		}
		into.steps, into.times, into.sorted = slices.Clip(r.steps), slices.Clip(r.newTimes), len(r.steps)
		sparse = slices.DeleteFunc(sparse, func(c *column) bool {
			if !slices.Equal(c.present, present) {
				return false
			}
			r.apply(c, into)
			into.columns = append(into.columns, c)
			return true
		})
		groups = append(groups, into)
	}
	return groups
}

// bytes estimates the memory of the group.
func (g *group) bytes() int {
	const word, overhead = 8, 160
	n := overhead + word*(cap(g.steps)+cap(g.times)+cap(g.columns))
	for _, c := range g.columns {
		n += c.bytes()
	}
	return n
}
