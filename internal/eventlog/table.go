package eventlog

import "slices"

// Table is the merged view of a run: one value per step and metric, where the last write
// wins, each with the time of its line. The Viewer does the same, except that here NaN and
// the infinities are values.
//
// A million rows of six metrics take about 65 MiB. Ascending steps are appended, existing
// ones are rewritten in place, and late ones wait for the next Compact.
//
// Put, AddIndeterminate and Compact need the caller's exclusive lock. All other methods
// only read, may run concurrently, and require a Compact after the last Put.
type Table struct {
	columns       map[string]*column
	groups        []*group
	emptyRows     *group // steps of rows without a cell; may be nil
	texts         dictionary
	indeterminate map[string]int
	rows          int
	excess        Excess
	dirty         bool // rows is outdated

	puts         uint64
	expectedRows uint64    // estimate of the final number of rows, see ExpectSize; else 0
	rowColumns   []*column // columns of the current row, nil for cells without one
	prevColumns  []*column // columns of the previous row, which is probably similar
	touched      []*group
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{columns: map[string]*column{}, indeterminate: map[string]int{}}
}

// Put merges a row, and copies what it keeps. A cell of KindNone (null) erases the metric's
// value at that step.
func (t *Table) Put(row *Row) {
	t.dirty = true
	t.puts++
	t.resolve(row.Cells)
	time := row.seconds()
	for _, g := range t.touched {
		if g.nextSparseCheck == 0 { // it has all its columns now
			g.nextSparseCheck = min(minSparseCheck, max(minSparseRows, firstSparseCells/max(1, len(g.columns))))
		}
		g.ensureRow(row.Step, time)
	}
	for i, c := range t.rowColumns {
		if c != nil {
			t.store(c, &row.Cells[i], time)
		}
	}
	for _, g := range t.touched {
		if len(g.steps) >= g.nextSparseCheck {
			g.compact()
			t.groups = append(t.groups, g.split()...)
		}
	}
}

// ExpectSize tells that the rows so far came from the first read bytes of a log of total
// bytes. Columns then reserve capacity for the estimated number of rows.
func (t *Table) ExpectSize(read, total int64) {
	if t.expectedRows = 0; read > 0 && total > read {
		t.expectedRows = uint64(float64(t.puts) * (float64(total) / float64(read)))
	}
}

// resolve finds or adds the column of each cell, and collects the groups that the row
// touches.
func (t *Table) resolve(cells []Cell) {
	t.prevColumns, t.rowColumns, t.touched = t.rowColumns, t.prevColumns[:0], t.touched[:0]
	var newGroup *group
	for i := range cells {
		c := t.column(i, cells[i].Name)
		switch {
		case c != nil || cells[i].Kind == KindNone:
		case len(t.columns) >= MaxMetrics:
			t.excess.addMetric(manyMetrics, cells[i].Name)
		default:
			if newGroup == nil {
				newGroup = t.addGroup()
			}
			c = &column{name: cells[i].Name, group: newGroup}
			newGroup.columns = append(newGroup.columns, c)
			t.columns[c.name] = c
		}
		if t.rowColumns = append(t.rowColumns, c); c != nil {
			c.put = t.puts
			t.touch(c.group)
		}
	}
	if len(t.touched) == 0 {
		if t.emptyRows == nil {
			t.emptyRows = t.addGroup()
		}
		t.touch(t.emptyRows)
	}
}

// column returns the column of a row's i-th cell, or nil.
func (t *Table) column(i int, name string) *column {
	if i < len(t.prevColumns) && t.prevColumns[i] != nil && t.prevColumns[i].name == name {
		return t.prevColumns[i]
	}
	return t.columns[name]
}

func (t *Table) addGroup() *group {
	g := &group{}
	t.groups = append(t.groups, g)
	return g
}

func (t *Table) touch(g *group) {
	if g.put != t.puts {
		g.put, g.expectedRows = t.puts, t.expectedRows
		t.touched = append(t.touched, g)
	}
}

// store writes a cell into the current row of its group.
func (t *Table) store(c *column, cell *Cell, time float64) {
	row := c.group.row
	switch {
	case cell.Kind == KindNone && row < c.group.sorted:
		c.erase(row)
	case cell.Kind == KindNone:
		c.set(row, kindErased, 0, time)
	case cell.Kind == KindText:
		c.set(row, KindText, t.texts.index(cell.Text), time)
	case cell.Exact != "":
		c.set(row, kindExact, t.texts.index(cell.Exact), time)
	default:
		c.set(row, cell.Kind, cell.Number, time)
	}
}

// AddIndeterminate counts cells whose value the source does not reveal: the merged table of
// Viewer 0.5.3 has null both for a value that was never logged and for NaN or an infinity.
func (t *Table) AddIndeterminate(name string, cells int) {
	if len(name) <= MaxName && len(t.indeterminate) < MaxMetrics {
		t.indeterminate[name] += cells
	}
}

// Excess returns what was too much for the table.
func (t *Table) Excess() Excess { return t.excess }

// Compact merges late steps. It is required before reading. It is free if all steps
// ascended in a single group.
func (t *Table) Compact() {
	if !t.dirty {
		return
	}
	for _, g := range t.groups {
		g.compact()
		g.trim()
	}
	t.rows = len(t.longest().steps) + len(t.otherSteps())
	t.dirty = false
}

// longest returns the longest group, which has nearly all steps.
func (t *Table) longest() *group {
	if len(t.groups) == 0 {
		return &group{}
	}
	return slices.MaxFunc(t.groups, func(a, b *group) int { return len(a.steps) - len(b.steps) })
}

// otherSteps returns the distinct steps that the longest group lacks, ascending.
func (t *Table) otherSteps() (others []int64) {
	longest := t.longest()
	for _, g := range t.groups {
		if g != longest {
			others = appendMissing(others, g.steps, longest.steps)
		}
	}
	slices.Sort(others)
	return slices.Compact(others)
}

// appendMissing appends the steps that known lacks; both ascend. It uses galloping search,
// because the next step is usually close.
func appendMissing(missing, steps, known []int64) []int64 {
	for _, step := range steps {
		reach := 1
		for reach < len(known) && known[reach] < step {
			reach *= 2
		}
		at, ok := slices.BinarySearch(known[:min(reach+1, len(known))], step)
		if !ok {
			missing = append(missing, step)
		}
		known = known[at:]
	}
	return missing
}

// Rows returns the number of distinct steps: the Viewer's "total".
func (t *Table) Rows() int { return t.rows }

// Cells returns the number of values.
func (t *Table) Cells() int {
	n := 0
	for _, c := range t.columns {
		n += c.count
	}
	return n
}

// Indeterminate returns the count from AddIndeterminate for the metric.
func (t *Table) Indeterminate(name string) int { return t.indeterminate[name] }

// Bytes estimates the memory of the table. It does not require Compact.
func (t *Table) Bytes() int {
	const overhead = 512
	n := overhead + t.texts.size
	for name := range t.indeterminate {
		n += columnOverhead/4 + len(name)
	}
	for _, g := range t.groups {
		n += g.bytes()
	}
	return n
}

// dictionary stores the cells that are not doubles: texts, and integers that a double
// cannot hold. A cell holds the index.
type dictionary struct {
	texts   []string
	indices map[string]int
	size    int // an estimate, in bytes
}

func (d *dictionary) index(text string) float64 {
	i, ok := d.indices[text]
	if !ok {
		const overhead = 72 // two string headers and a map entry
		if d.indices == nil {
			d.indices = map[string]int{}
		}
		i = len(d.texts)
		d.texts = append(d.texts, text)
		d.indices[text] = i
		d.size += len(text) + overhead
	}
	return float64(i)
}

func (d *dictionary) text(index float64) string { return d.texts[int(index)] }
