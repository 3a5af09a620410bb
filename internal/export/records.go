package export

import (
	"errors"
	"io"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

var (
	errBatchTooLong   = errors.New("the texts of one column are longer than 2 GB in one batch")
	errTooManyColumns = errors.New("too many columns for a Parquet file")
)

// recordFile takes batches of rows: an Arrow stream or a Parquet file. It does
// not keep the columns.
type recordFile interface {
	write(rows int, columns []*vector) error
	Close() error
}

// newRecordFile begins an Arrow stream or a Parquet file.
func newRecordFile(f Format, out io.Writer, fields []field) (recordFile, error) {
	if f == Arrow {
		return newArrowStream(out, fields), nil
	}
	return newParquetFile(out, fields)
}

// identityFields are the columns before the metrics.
func identityFields(multiRun bool) []field {
	step := field{name: titleStep, kind: typeInteger}
	if !multiRun {
		return []field{step}
	}
	return []field{{name: titleViewer, kind: typeText}, {name: titleRun, kind: typeText}, step}
}

// wideRecords is a wide table as batches, one per window.
type wideRecords struct {
	file     recordFile
	vectors  []*vector // of the fields, empty between batches
	multiRun bool
	columns  []column
	compute  Compute
}

func newWideRecords(f Format, out io.Writer, schema *Schema, compute Compute) (*wideRecords, error) {
	x := &wideRecords{multiRun: schema.multiRun, columns: schema.columns(), compute: compute}
	fields := identityFields(schema.multiRun)
	for _, c := range x.columns {
		kind := kindTypes[c.kind]
		if c.exact {
			kind = typeText
		}
		fields = append(fields, field{name: c.title, kind: kind, nullable: true})
	}
	x.vectors = newVectors(fields)
	var err error
	x.file, err = newRecordFile(f, out, fields)
	return x, err
}

func (x *wideRecords) write(run *Run, w *window) error {
	return x.compute.do(func() error { return x.writeBatch(run, w) })
}

// writeBatch writes the window as one batch.
func (x *wideRecords) writeBatch(run *Run, w *window) error {
	columns := make([]*vector, 0, len(x.vectors))
	if x.multiRun {
		for range w.steps {
			x.vectors[0].appendText(run.Viewer)
			x.vectors[1].appendText(run.ID)
		}
		columns = append(columns, x.vectors[0], x.vectors[1])
	}
	columns = append(columns, &vector{kind: typeInteger, length: len(w.steps), integers: w.steps})
	for _, c := range x.columns {
		columns = append(columns, w.column(c, x.vectors[len(columns)]))
	}
	err := x.file.write(len(w.steps), columns)
	for _, v := range x.vectors {
		v.reset()
	}
	return err
}

// column makes the cells of a column in the empty vector. A column of nothing but
// numbers is the series' own memory.
func (w *window) column(c column, v *vector) *vector {
	s := w.find(c.name, c.kind)
	switch {
	case s == nil:
		for range w.steps {
			v.appendNull()
		}
	case !c.exact && len(s.Steps) == len(w.steps) && c.kind == eventlog.KindNumber:
		return &vector{kind: typeDouble, length: len(s.Values), doubles: s.Values}
	default:
		v.appendSeries(s, w.steps, c.exact)
	}
	return v
}

// Close completes the file.
func (x *wideRecords) Close() error { return x.file.Close() }

// find looks up a series of the window.
func (w *window) find(name string, kind eventlog.Kind) *eventlog.Series {
	for i := range w.series {
		if w.series[i].Kind == kind && w.series[i].Name == name {
			return &w.series[i]
		}
	}
	return nil
}

// appendSeries adds the cells of a series at the steps, nulls where it has none:
// its values, or the digits of its large integers.
func (v *vector) appendSeries(s *eventlog.Series, steps []int64, exact bool) {
	c := cursor{s: s}
	for _, step := range steps {
		if !c.has(step) {
			v.appendNull()
			continue
		}
		cell := c.cell()
		if exact {
			v.appendIf(&eventlog.Cell{Text: cell.Exact}, cell.Exact != "")
		} else {
			v.appendCell(&cell)
		}
		c.next()
	}
}
