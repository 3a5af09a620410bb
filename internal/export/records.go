package export

import (
	"errors"
	"io"
	"strings"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

var errBatchTooLong = errors.New("the texts of one batch are longer than 256 MiB")

// maxBatchText is the maximum size in bytes of the texts of a batch. A table holds equal
// texts once, a batch holds them per cell.
const maxBatchText = 256 << 20

// wideRecords is a wide table as batches, one per window.
type wideRecords struct {
	file     recordFile
	schema   *arrow.Schema
	multiRun bool
	columns  []column
	compute  Compute
}

func newWideRecords(f Format, out io.Writer, schema *Schema, compute Compute) (*wideRecords, error) {
	x := &wideRecords{multiRun: schema.multiRun, columns: schema.columns(), compute: compute}
	fields := identityFields(schema.multiRun)
	for _, c := range x.columns {
		fields = append(fields, arrow.Field{Name: c.title, Type: c.dataType(), Nullable: true})
	}
	x.schema = arrow.NewSchema(fields, nil)
	var err error
	x.file, err = newRecordFile(f, out, x.schema)
	return x, err
}

// dataType returns the Arrow type of the column.
func (c *column) dataType() arrow.DataType {
	if c.exact {
		return arrow.BinaryTypes.String
	}
	return columnTypes[c.kind]
}

func (x *wideRecords) write(run *Run, w *window) error {
	return x.compute.do(func() error { return x.writeBatch(run, w) })
}

// seriesKey identifies the series of a column in a window.
type seriesKey struct {
	name string
	kind eventlog.Kind
}

// writeBatch writes the window as one batch.
func (x *wideRecords) writeBatch(run *Run, w *window) error {
	series := make(map[seriesKey]*eventlog.Series, len(w.series))
	for i := range w.series {
		s := &w.series[i]
		series[seriesKey{s.Name, s.Kind}] = s
	}
	columns := make([]arrow.Array, 0, x.schema.NumFields())
	if x.multiRun {
		for _, text := range []string{run.Viewer, run.ID} {
			b := array.NewStringBuilder(memory.DefaultAllocator)
			for range w.steps {
				b.Append(strings.ToValidUTF8(text, "\uFFFD"))
			}
			columns = append(columns, b.NewArray())
		}
	}
	columns = append(columns, sharedSteps(w.steps))
	texts := 0
	for i := range x.columns {
		c := &x.columns[i]
		cells, err := c.cells(series[seriesKey{c.name, c.kind}], w.steps, &texts)
		if err != nil {
			return err
		}
		columns = append(columns, cells)
	}
	return x.file.Write(array.NewRecordBatch(x.schema, columns, int64(len(w.steps))))
}

// cells returns the cells of the series at the steps, null if it has none: its values, or
// the digits of its large integers. A column without nulls that has only numbers shares
// the memory of the series. The size of texts in bytes is added to texts.
func (c *column) cells(s *eventlog.Series, steps []int64, texts *int) (arrow.Array, error) {
	switch {
	case s == nil:
		return array.MakeArrayOfNull(memory.DefaultAllocator, c.dataType(), len(steps)), nil
	case !c.exact && len(s.Steps) == len(steps) && c.kind == eventlog.KindNumber:
		return sharedValues(s.Values), nil
	}
	b := array.NewBuilder(memory.DefaultAllocator, c.dataType())
	b.Reserve(len(steps))
	at := cursor{s: s}
	for _, step := range steps {
		if !at.has(step) {
			b.AppendNull()
			continue
		}
		cell := at.cell()
		at.next()
		if c.exact {
			cell.Text = cell.Exact
		}
		if *texts += len(cell.Text); *texts > maxBatchText {
			return nil, errBatchTooLong
		}
		if c.exact && cell.Exact == "" {
			b.AppendNull()
		} else {
			appendValueTo(b, &cell)
		}
	}
	return b.NewArray(), nil
}

// Close completes the file.
func (x *wideRecords) Close() error { return x.file.Close() }
