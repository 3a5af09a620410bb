package export

import (
	"fmt"
	"io"
	"strconv"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// WideFile writes merged tables: one row per step, a column per metric. A step without a
// value of a selected metric has no row.
type WideFile struct {
	schema  *Schema
	writer  wideWriter
	compute Compute
}

// wideWriter is a format of wide tables. Its write runs in steps of computing.
type wideWriter interface {
	write(run *Run, w *window) error
	Close() error
}

// NewWide starts a wide file in CSV, Arrow or Parquet. All runs must be in the schema,
// which must not change any more.
func NewWide(f Format, out io.Writer, schema *Schema, compute Compute) (*WideFile, error) {
	x := &WideFile{schema: schema, compute: compute}
	var err error
	if f == CSV {
		x.writer, err = newWideCSV(out, schema, compute)
	} else {
		x.writer, err = newWideRecords(f, out, schema, compute)
	}
	if err != nil {
		return nil, fmt.Errorf("begin a wide table: %w", err)
	}
	return x, nil
}

// WriteRun adds the rows of a run. The table must not change meanwhile.
func (x *WideFile) WriteRun(run *Run, t *eventlog.Table, sel eventlog.Selection) error {
	return x.compute.windows(t, sel, x.schema.windowRows(), func(w *window) error {
		if err := x.schema.check(w); err != nil {
			return err
		}
		if err := x.writer.write(run, w); err != nil {
			return fmt.Errorf("write a wide table: %w", err)
		}
		return nil
	})
}

// Close completes the file.
func (x *WideFile) Close() error { return x.compute.do(x.writer.Close) }

// wideCSV is a wide table in CSV. One column holds all kinds of a metric, since a cell of
// the merged view has only one.
type wideCSV struct {
	textFile
	multiRun    bool
	columnIndex map[string]int // of the metrics' columns
	compute     Compute
}

func newWideCSV(out io.Writer, schema *Schema, compute Compute) (*wideCSV, error) {
	x := &wideCSV{textFile: newTextFile(out), multiRun: schema.multiRun, columnIndex: map[string]int{}, compute: compute}
	var line []byte
	for _, title := range schema.identity() {
		line = append(appendField(line, title), ',')
	}
	titles, _ := schema.uniqueTitles(plainText)
	for i, name := range schema.names() {
		x.columnIndex[name] = i
		line = append(appendField(line, titles[name]), ',')
	}
	line[len(line)-1] = '\n'
	_, err := x.Write(line)
	return x, err
}

func (x *wideCSV) write(run *Run, w *window) error {
	columns := make([][]*cursor, len(x.columnIndex))
	cursors := w.cursors()
	for i := range cursors {
		at := x.columnIndex[cursors[i].s.Name]
		columns[at] = append(columns[at], &cursors[i])
	}
	var first []byte
	if x.multiRun {
		first = append(appendField(first, run.Viewer), ',')
		first = append(appendField(first, run.ID), ',')
	}
	return x.compute.rows(len(w.steps), len(columns), func(i int) error {
		step := w.steps[i]
		line := append(x.AvailableBuffer(), first...)
		line = strconv.AppendInt(line, step, 10)
		for _, kinds := range columns {
			line = append(line, ',')
			line = appendCellAt(line, kinds, step)
		}
		_, err := x.Write(append(line, '\n'))
		return err
	})
}

// appendCellAt writes the cell of a metric, of whichever kind.
func appendCellAt(line []byte, kinds []*cursor, step int64) []byte {
	for _, c := range kinds {
		if c.has(step) {
			cell := c.cell()
			line = appendCell(line, &cell)
			c.next()
		}
	}
	return line
}
