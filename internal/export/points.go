package export

import (
	"fmt"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Points writes points as they were logged: the long layout in CSV, Arrow or
// Parquet, or events as lines of JSON. Its memory does not grow with them.
type Points struct {
	selection eventlog.Selection
	wanted    map[string]bool // what the selection says of the names so far
	to        pointWriter
}

// pointWriter is a format of points. A row has the selected cells only, nulls
// among them.
type pointWriter interface {
	row(run *Run, row *eventlog.Row) error
	media(run *Run, m *eventlog.Media) error
	Close() error
}

// NewPoints begins a file of the selected points in CSV, Arrow, Parquet or
// JSONLines. In a file of several runs every row says whose it is.
func NewPoints(f Format, out io.Writer, several bool, sel eventlog.Selection) (*Points, error) {
	p := &Points{selection: sel, wanted: map[string]bool{}}
	var err error
	switch f {
	case CSV:
		p.to, err = newLongCSV(out, several)
	case JSONLines:
		p.to = newLines(out, several)
	default:
		p.to, err = newLongRecords(f, out, several)
	}
	if err != nil {
		return nil, fmt.Errorf("begin a table of points: %w", err)
	}
	return p, nil
}

// maxWanted bounds the memory of decided names.
const maxWanted = 1 << 16

// WriteRow adds a row of the event file. It changes the row.
func (p *Points) WriteRow(run *Run, row *eventlog.Row) error {
	kept := row.Cells[:0]
	for _, c := range row.Cells {
		wanted, known := p.wanted[c.Name]
		if !known {
			if len(p.wanted) >= maxWanted {
				clear(p.wanted)
			}
			wanted = p.selection.HasName(c.Name)
			p.wanted[c.Name] = wanted
		}
		if wanted {
			kept = append(kept, c)
		}
	}
	row.Cells = kept
	if err := p.to.row(run, row); err != nil {
		return fmt.Errorf("write points: %w", err)
	}
	return nil
}

// WriteMedia adds an image of the event file, which only JSONLines can hold.
func (p *Points) WriteMedia(run *Run, m *eventlog.Media) error {
	if err := p.to.media(run, m); err != nil {
		return fmt.Errorf("write an image event: %w", err)
	}
	return nil
}

// WriteTable adds a run of which there is a merged table only: a row per step,
// ascending. Such a table has one time per step.
func (p *Points) WriteTable(run *Run, t *eventlog.Table) error {
	row := &eventlog.Row{Position: -1}
	for w := range windows(t, p.selection) {
		cursors := w.cursors()
		for _, step := range w.steps {
			row.Step, row.Cells, row.HasTime = step, row.Cells[:0], false
			for i := range cursors {
				if c := &cursors[i]; c.has(step) {
					row.Cells = append(row.Cells, c.cell())
					row.Time = c.s.Times[c.at]
					row.HasTime = row.Time != 0
					c.next()
				}
			}
			if err := p.to.row(run, row); err != nil {
				return fmt.Errorf("write points: %w", err)
			}
		}
	}
	return nil
}

// Close completes the file.
func (p *Points) Close() error { return p.to.Close() }
