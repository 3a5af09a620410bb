package runlog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// grid is the last state of a merged table that is followed, each cell with the
// number of the batch in which it was last sent: so a cursor that lost sight of
// the window is sent exactly what has changed since. It is guarded by the
// journal's lock. A row of six metrics takes some 200 bytes.
type grid struct {
	columns map[string]int
	names   []string
	rows    []*gridRow // by step
	// greatest is the greatest step, and digest that of all cells.
	greatest int64
	digest   uint64
	// complete is the version up to which rows has everything: new rows come
	// into it with the end of a pass.
	complete int64
}

func newGrid() *grid { return &grid{columns: make(map[string]int), greatest: math.MinInt64} }

type gridRow struct {
	step    int64
	time    float64
	hasTime bool
	cells   []gridCell // by column; shorter than all columns, maybe
}

// gridCell is one value; the zero gridCell is none.
type gridCell struct {
	number  float64
	text    string // of a text, or the digits of an integer that a double rounds
	version int64
	kind    eventlog.Kind
}

// errUnordered says that the steps of a table do not ascend.
var errUnordered = errors.New("the steps of the merged table do not ascend")

// pass is one reading of the table: its rows are laid over those of the grid.
type pass struct {
	g       *grid
	rows    []*gridRow // the grid's rows as they will be
	next    int        // the first of the grid's rows that was not met
	missing int
}

func (g *grid) begin() *pass { return &pass{g: g, rows: make([]*gridRow, 0, len(g.rows))} }

// put takes the next row and returns the cells that are new. They have the given
// version.
func (p *pass) put(row *eventlog.Row, version int64) ([]eventlog.Cell, error) {
	if n := len(p.rows); n > 0 && row.Step <= p.rows[n-1].step {
		return nil, errUnordered
	}
	for ; p.next < len(p.g.rows) && p.g.rows[p.next].step < row.Step; p.next++ {
		p.rows = append(p.rows, p.g.rows[p.next])
		p.missing++
	}
	var known *gridRow
	if p.next < len(p.g.rows) && p.g.rows[p.next].step == row.Step {
		known = p.g.rows[p.next]
		p.next++
	} else {
		known = &gridRow{step: row.Step}
	}
	p.rows = append(p.rows, known)
	known.time, known.hasTime = row.Time, row.HasTime
	return p.g.lay(known, row.Cells, version), nil
}

// lost is how many rows of the grid the table did not have, once it was read.
func (p *pass) lost() int { return p.missing }

// end makes the rows those of the grid, which is then complete up to a version.
// Rows that were not met stay.
func (p *pass) end(version int64) {
	p.missing += len(p.g.rows) - p.next
	p.g.rows = append(p.rows, p.g.rows[p.next:]...)
	p.g.complete = version
}

// lay lays the cells of a row over what is known of it.
func (g *grid) lay(row *gridRow, cells []eventlog.Cell, version int64) (changed []eventlog.Cell) {
	for i := range cells {
		c := &cells[i]
		at := g.column(c.Name)
		for len(row.cells) <= at {
			row.cells = append(row.cells, make([]gridCell, len(g.names)-len(row.cells))...)
		}
		old := &row.cells[at]
		if isSameCell(old, c) {
			continue
		}
		g.digest -= old.hash(row.step, c.Name)
		// A value that has become null was not finite when it was written again, or
		// taken back: the table does not say, so nothing is said.
		*old = gridCell{number: c.Number, text: c.Text + c.Exact, version: version, kind: c.Kind}
		g.digest += old.hash(row.step, c.Name)
		if c.Kind == eventlog.KindNone {
			continue
		}
		g.greatest = max(g.greatest, row.step)
		changed = append(changed, *c)
	}
	return changed
}

func isSameCell(old *gridCell, c *eventlog.Cell) bool {
	if c.Kind == eventlog.KindNone {
		return old.kind == eventlog.KindNone
	}
	return old.kind == c.Kind && old.text == c.Text+c.Exact && math.Float64bits(old.number) == math.Float64bits(c.Number)
}

func (g *grid) column(name string) int {
	at, ok := g.columns[name]
	if !ok {
		at = len(g.names)
		g.columns[name] = at
		g.names = append(g.names, name)
	}
	return at
}

// hash is a cell's part of a digest: digests of disjoint cells add up.
func (c *gridCell) hash(step int64, name string) uint64 {
	if c.kind == eventlog.KindNone {
		return 0
	}
	h := fnv.New64a()
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], uint64(step))
	binary.LittleEndian.PutUint64(head[8:], math.Float64bits(c.number))
	head[16] = byte(c.kind)
	h.Write(head[:]) // a hash does not fail
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(c.text))
	return h.Sum64()
}

// digestUpTo is the digest of the cells up to a step.
func (g *grid) digestUpTo(step int64) uint64 {
	if step >= g.greatest {
		return g.digest
	}
	var digest uint64
	for _, row := range g.rows {
		if row.step > step {
			break
		}
		for i := range row.cells {
			digest += row.cells[i].hash(row.step, g.names[i])
		}
	}
	return digest
}

// scan is a walk of one cursor over the cells that are newer than a version.
// What changes meanwhile has a version beyond the target, and comes later.
type scan struct {
	since, target int64
	to            Position // behind the target
	from          int64    // the next step
	// greatest and digest are those of what the cursor has; the digest holds only
	// for a cursor that had nothing newer than the scan's beginning.
	greatest int64
	digest   uint64
	isExact  bool
}

// step makes a batch of the next cells of a scan; nil is its end.
func (g *grid) step(s *scan) *Batch {
	at, _ := slices.BinarySearchFunc(g.rows, s.from, func(r *gridRow, step int64) int { return cmp.Compare(r.step, step) })
	cells := eventlog.NewBatch(eventlog.Selection{})
	b, bytes := &Batch{}, 0
	for ; at < len(g.rows) && b.points < batchPoints && bytes < batchBytes; at++ {
		row := g.rows[at]
		part := eventlog.Row{Position: -1, Step: row.step, Time: row.time, HasTime: row.hasTime}
		for i := range row.cells {
			c := &row.cells[i]
			if c.kind == eventlog.KindNone || c.version <= s.since || c.version > s.target {
				continue
			}
			part.Cells = append(part.Cells, c.cell(g.names[i]))
			s.digest += c.hash(row.step, g.names[i])
			bytes += pointWeight + len(c.text)
		}
		cells.Append(&part)
		b.points += len(part.Cells)
		if len(part.Cells) > 0 {
			s.greatest = max(s.greatest, row.step)
		}
		s.from = row.step + 1
	}
	if b.points == 0 {
		return nil
	}
	b.series = cells.Take()
	b.to = Position{origin: FromMergedTable, offset: s.since, step: s.greatest}
	if s.isExact {
		b.to.digest = s.digest
	}
	return b
}

func (c *gridCell) cell(name string) eventlog.Cell {
	cell := eventlog.Cell{Name: name, Kind: c.kind, Number: c.number}
	if c.kind == eventlog.KindText {
		cell.Text = c.text
	} else {
		cell.Exact = c.text
	}
	return cell
}
