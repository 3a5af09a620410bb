package export

import (
	"fmt"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Points writes points in the order of logging: the long layout in CSV, Arrow or Parquet,
// or JSON Lines. Its memory does not grow with the number of points.
type Points struct {
	selection eventlog.Selection
	selected  nameCache[bool] // whether a name is selected
	writer    pointWriter
}

// pointWriter is a format of points. Rows have only the selected cells, including nulls.
type pointWriter interface {
	row(run *Run, row *eventlog.Row) error
	media(run *Run, m *eventlog.Media) error
	Close() error
}

// NewPoints starts a file of the selected points in CSV, Arrow, Parquet or JSONLines. In
// a file of several runs every row names its run.
func NewPoints(f Format, out io.Writer, multiRun bool, sel eventlog.Selection) (*Points, error) {
	p := &Points{selection: sel, selected: nameCache[bool]{}}
	var err error
	switch f {
	case CSV:
		p.writer, err = newLongCSV(out, multiRun)
	case JSONLines:
		p.writer = newJSONLines(out, multiRun)
	default:
		p.writer, err = newLongRecords(f, out, multiRun)
	}
	if err != nil {
		return nil, fmt.Errorf("begin a table of points: %w", err)
	}
	return p, nil
}

// nameCache caches values by metric name. It is bounded: the value of a long name is not
// cached.
type nameCache[V any] map[string]V

const (
	maxCachedNames = 1 << 14
	maxCachedName  = 1 << 10
)

func (c nameCache[V]) get(name string, decide func(string) V) V {
	v, known := c[name]
	if known {
		return v
	}
	v = decide(name)
	if len(c) >= maxCachedNames {
		clear(c)
	}
	if len(name) <= maxCachedName {
		c[name] = v
	}
	return v
}

// WriteRow adds a row of the event file. It modifies the row.
func (p *Points) WriteRow(run *Run, row *eventlog.Row) error {
	kept := row.Cells[:0]
	for _, c := range row.Cells {
		if p.selected.get(c.Name, p.selection.HasName) {
			kept = append(kept, c)
		}
	}
	row.Cells = kept
	if err := p.writer.row(run, row); err != nil {
		return fmt.Errorf("write points: %w", err)
	}
	return nil
}

// WriteMedia adds an image event; formats other than JSONLines ignore it.
func (p *Points) WriteMedia(run *Run, m *eventlog.Media) error {
	if err := p.writer.media(run, m); err != nil {
		return fmt.Errorf("write an image event: %w", err)
	}
	return nil
}

// WriteTable adds a run that has only a merged table: one row per step, ascending. Such a
// table has one time per step.
func (p *Points) WriteTable(run *Run, t *eventlog.Table, compute Compute) error {
	row := &eventlog.Row{Position: -1}
	return compute.windows(t, p.selection, windowRows, func(w *window) error {
		cursors := w.cursors()
		return compute.rows(len(w.steps), len(cursors), func(i int) error {
			step := w.steps[i]
			row.Step, row.Cells, row.HasTime = step, row.Cells[:0], false
			for i := range cursors {
				if c := &cursors[i]; c.has(step) {
					row.Cells = append(row.Cells, c.cell())
					row.Time = c.s.Times[c.at]
					row.HasTime = row.Time != 0
					c.next()
				}
			}
			if err := p.writer.row(run, row); err != nil {
				return fmt.Errorf("write points: %w", err)
			}
			return nil
		})
	})
}

// Close completes the file.
func (p *Points) Close() error { return p.writer.Close() }
