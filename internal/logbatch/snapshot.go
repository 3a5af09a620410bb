package logbatch

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"math"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// Snapshot is the last state of a followed merged table. Each cell has the number of the
// batch in which it was last sent, so that a cursor that has fallen behind the window is
// sent exactly what has changed since. The journal's lock guards it. A row of six metrics
// takes about 200 bytes.
type Snapshot struct {
	columns map[string]int
	names   []string
	rows    []*snapshotRow // by step
	// MaxStep is the highest step; Digest is a hash of all cells.
	MaxStep int64
	Digest  uint64
	// CompleteVersion is the version up to which rows is complete: new rows are added when
	// a diff finishes.
	CompleteVersion int64
}

// NewSnapshot returns the snapshot of an empty table.
func NewSnapshot() *Snapshot { return &Snapshot{columns: make(map[string]int), MaxStep: math.MinInt64} }

type snapshotRow struct {
	step    int64
	time    float64
	hasTime bool
	cells   []snapshotCell // by column; may be shorter than the number of columns
}

// snapshotCell is one value; the zero value is no value.
type snapshotCell struct {
	number  float64
	text    string // of a text, or the digits of an integer that a double cannot hold
	version int64
	kind    eventlog.Kind
}

// errUnordered is the error for a table whose steps do not ascend.
var errUnordered = errors.New("the steps of the merged table do not ascend")

// Diff compares one reading of the table with the snapshot and updates it.
type Diff struct {
	snapshot *Snapshot
	rows     []*snapshotRow // the snapshot's rows after Finish
	next     int            // index of the first snapshot row that was not seen yet
	missing  int
}

// StartDiff starts to compare a new reading of the table.
func (s *Snapshot) StartDiff() *Diff {
	return &Diff{snapshot: s, rows: make([]*snapshotRow, 0, len(s.rows))}
}

// AddRow merges the next row and returns the cells that changed. They get the given
// version.
func (d *Diff) AddRow(row *eventlog.Row, version int64) ([]eventlog.Cell, error) {
	if n := len(d.rows); n > 0 && row.Step <= d.rows[n-1].step {
		return nil, errUnordered
	}
	for ; d.next < len(d.snapshot.rows) && d.snapshot.rows[d.next].step < row.Step; d.next++ {
		d.rows = append(d.rows, d.snapshot.rows[d.next])
		d.missing++
	}
	var known *snapshotRow
	if d.next < len(d.snapshot.rows) && d.snapshot.rows[d.next].step == row.Step {
		known = d.snapshot.rows[d.next]
		d.next++
	} else {
		known = &snapshotRow{step: row.Step}
	}
	d.rows = append(d.rows, known)
	known.time, known.hasTime = row.Time, row.HasTime
	return d.snapshot.merge(known, row.Cells, version), nil
}

// MissingRows returns how many rows of the snapshot the table no longer has.
func (d *Diff) MissingRows() int { return d.missing }

// Finish updates the snapshot, which is then complete up to version. Rows missing from the
// table stay.
func (d *Diff) Finish(version int64) {
	d.missing += len(d.snapshot.rows) - d.next
	d.snapshot.rows = append(d.rows, d.snapshot.rows[d.next:]...)
	d.snapshot.CompleteVersion = version
}

// merge updates the cells of a row and returns those that changed.
func (s *Snapshot) merge(row *snapshotRow, cells []eventlog.Cell, version int64) (changed []eventlog.Cell) {
	for i := range cells {
		c := &cells[i]
		at := s.column(c.Name)
		for len(row.cells) <= at {
			row.cells = append(row.cells, make([]snapshotCell, len(s.names)-len(row.cells))...)
		}
		old := &row.cells[at]
		if isSameCell(old, c) {
			continue
		}
		s.Digest -= old.hash(row.step, c.Name)
		// A value that has become null was erased or overwritten by a non-finite value. The
		// table does not say which, so nothing is sent.
		*old = snapshotCell{number: c.Number, text: c.Text + c.Exact, version: version, kind: c.Kind}
		s.Digest += old.hash(row.step, c.Name)
		if c.Kind == eventlog.KindNone {
			continue
		}
		s.MaxStep = max(s.MaxStep, row.step)
		changed = append(changed, *c)
	}
	return changed
}

func isSameCell(old *snapshotCell, c *eventlog.Cell) bool {
	if c.Kind == eventlog.KindNone {
		return old.kind == eventlog.KindNone
	}
	return old.kind == c.Kind && old.text == c.Text+c.Exact && math.Float64bits(old.number) == math.Float64bits(c.Number)
}

func (s *Snapshot) column(name string) int {
	at, ok := s.columns[name]
	if !ok {
		at = len(s.names)
		s.columns[name] = at
		s.names = append(s.names, name)
	}
	return at
}

// hash is a cell's share of a digest: the digest is the sum over its cells.
func (c *snapshotCell) hash(step int64, name string) uint64 {
	if c.kind == eventlog.KindNone {
		return 0
	}
	h := fnv.New64a()
	var head [17]byte
	binary.LittleEndian.PutUint64(head[:], uint64(step))
	binary.LittleEndian.PutUint64(head[8:], math.Float64bits(c.number))
	head[16] = byte(c.kind)
	h.Write(head[:]) // never fails
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(c.text))
	return h.Sum64()
}

// DigestUpTo returns the digest of the cells up to a step.
func (s *Snapshot) DigestUpTo(step int64) uint64 {
	if step >= s.MaxStep {
		return s.Digest
	}
	var digest uint64
	for _, row := range s.rows {
		if row.step > step {
			break
		}
		for i := range row.cells {
			digest += row.cells[i].hash(row.step, s.names[i])
		}
	}
	return digest
}

// Replay is one cursor's pass over the cells that are newer than a version. Cells that
// change meanwhile have a version beyond Target and are sent later.
type Replay struct {
	Since, Target int64
	To            runsource.Position // the position after Target
	From          int64              // the next step
	// MaxStep and Digest describe what the cursor has; Digest is valid only for a cursor
	// that had nothing newer than the start of the replay.
	MaxStep int64
	Digest  uint64
	Exact   bool
}

// NextBatch returns a batch of the next cells of a replay, or nil at its end.
func (s *Snapshot) NextBatch(r *Replay) *Batch {
	at, _ := slices.BinarySearchFunc(s.rows, r.From, func(row *snapshotRow, step int64) int { return cmp.Compare(row.step, step) })
	cells := eventlog.NewBatch(eventlog.Selection{})
	b, bytes := &Batch{}, 0
	for ; at < len(s.rows) && b.Points < runsource.BatchPoints && bytes < runsource.BatchBytes; at++ {
		row := s.rows[at]
		part := eventlog.Row{Position: -1, Step: row.step, Time: row.time, HasTime: row.hasTime}
		for i := range row.cells {
			c := &row.cells[i]
			if c.kind == eventlog.KindNone || c.version <= r.Since || c.version > r.Target {
				continue
			}
			part.Cells = append(part.Cells, c.cell(s.names[i]))
			r.Digest += c.hash(row.step, s.names[i])
			bytes += runsource.PointWireBytes + len(c.text) + max(len(s.names[i])-longName, 0)
		}
		cells.Append(&part)
		b.Points += len(part.Cells)
		if len(part.Cells) > 0 {
			r.MaxStep = max(r.MaxStep, row.step)
		}
		r.From = row.step + 1
	}
	if b.Points == 0 {
		return nil
	}
	b.series = cells.Take()
	b.To = runsource.Position{Origin: runsource.FromMergedTable, Offset: r.Since, Step: r.MaxStep}
	if r.Exact {
		b.To.Digest = r.Digest
	}
	return b
}

func (c *snapshotCell) cell(name string) eventlog.Cell {
	cell := eventlog.Cell{Name: name, Kind: c.kind, Number: c.number}
	if c.kind == eventlog.KindText {
		cell.Text = c.text
	} else {
		cell.Exact = c.text
	}
	return cell
}
