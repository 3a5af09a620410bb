package eventlog

import "slices"

// Table is the merged view of a run: one value per step and metric, the last
// write wins, each with the time of the line that wrote it. So does the Viewer,
// except that here NaN and the infinities are values.
//
// A million rows of six metrics take some 65 MiB. Ascending steps are appended,
// old ones are rewritten in place, and late ones wait for the next Compact.
//
// Put, AddIndeterminate and Compact change the table and need the caller's
// exclusive lock; all other methods only read, may run side by side, and need
// that Compact came after the last Put.
type Table struct {
	columns       map[string]*column
	groups        []*group
	emptyRows     *group // the steps of rows without a cell, nil if there is none
	texts         dictionary
	indeterminate map[string]int
	rows          int
	excess        Excess
	dirty         bool // rows is to be counted again

	puts         uint64
	expectedRows uint64    // how many rows there will be, as ExpectSize says; else 0
	rowColumns   []*column // the columns of the row at hand, nil where there is none
	prevColumns  []*column // those of the row before, which is likely to be alike
	touched      []*group
}

// NewTable returns an empty table.
func NewTable() *Table {
	return &Table{columns: map[string]*column{}, indeterminate: map[string]int{}}
}

// Put merges a row, and copies what it keeps. A cell without a kind (null)
// erases what was said of that metric at that step.
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

// ExpectSize says that what was put so far stood in the first bytes, read, of a log
// of whole bytes. It is a guess at how many rows are to come, for which room is
// then made at once.
func (t *Table) ExpectSize(read, total int64) {
	if t.expectedRows = 0; read > 0 && total > read {
		t.expectedRows = uint64(float64(t.puts) * (float64(total) / float64(read)))
	}
}

// resolve finds the column of each cell, making those that are new, and the
// groups that the row touches.
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

// column finds the column of a row's i-th cell, or nil.
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

// store writes a cell into the row that its group has chosen.
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

// AddIndeterminate counts cells of which the source does not say what they are:
// the merged table of Viewer 0.5.3 has null for a value that was never logged
// and for one that was NaN or infinite.
func (t *Table) AddIndeterminate(name string, cells int) {
	if len(name) <= MaxName && len(t.indeterminate) < MaxMetrics {
		t.indeterminate[name] += cells
	}
}

// Excess is what was too much for the table.
func (t *Table) Excess() Excess { return t.excess }

// Compact merges what came late. Readers need it after the last Put; it costs
// nothing if steps have only ascended in a table of one group.
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

// longest is the longest group, whose steps are nearly all there are.
func (t *Table) longest() *group {
	if len(t.groups) == 0 {
		return &group{}
	}
	return slices.MaxFunc(t.groups, func(a, b *group) int { return len(a.steps) - len(b.steps) })
}

// otherSteps are the distinct steps that the longest group lacks, ascending.
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

// appendMissing appends the steps that known lacks; both ascend. It gallops
// through known, since the next step is mostly near.
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

// Rows is the number of distinct steps: the Viewer's "total".
func (t *Table) Rows() int { return t.rows }

// Cells is the number of values.
func (t *Table) Cells() int {
	n := 0
	for _, c := range t.columns {
		n += c.count
	}
	return n
}

// Indeterminate is what AddIndeterminate has counted for the metric.
func (t *Table) Indeterminate(name string) int { return t.indeterminate[name] }

// Bytes estimates the memory of the table. It may be asked before Compact.
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

// dictionary keeps the cells that are no doubles: texts, and integers that a
// double rounds. A cell holds the index.
type dictionary struct {
	texts   []string
	indices map[string]int
	size    int // an estimate, in bytes
}

func (d *dictionary) index(text string) float64 {
	i, ok := d.indices[text]
	if !ok {
		const overhead = 72 // two string headers and an entry of the map
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
