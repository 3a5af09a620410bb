package export

import (
	"io"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The columns of the long layout after those of identity. Only Arrow and Parquet have the
// last three: in CSV the value column holds every kind.
const (
	titleMetric  = "metric"
	titleValue   = "value"
	titleTime    = "time"
	titleBoolean = "boolean"
	titleText    = "text"
	titleExact   = "exact"
)

// longCSV is step,metric,value,time. A time is unix seconds, empty if unknown.
type longCSV struct {
	textFile
	multiRun bool
	names    nameCache[string] // metrics as fields
}

func newLongCSV(out io.Writer, multiRun bool) (*longCSV, error) {
	x := &longCSV{textFile: newTextFile(out), multiRun: multiRun, names: nameCache[string]{}}
	header := titleStep + "," + titleMetric + "," + titleValue + "," + titleTime + "\n"
	if multiRun {
		header = titleViewer + "," + titleRun + "," + header
	}
	_, err := x.WriteString(header)
	return x, err
}

func (x *longCSV) row(run *Run, row *eventlog.Row) error {
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Kind == eventlog.KindNone {
			continue
		}
		line := x.AvailableBuffer()
		if x.multiRun {
			line = append(appendField(line, run.Viewer), ',')
			line = append(appendField(line, run.ID), ',')
		}
		line = append(strconv.AppendInt(line, row.Step, 10), ',')
		line = append(append(line, x.names.get(c.Name, csvName)...), ',')
		line = append(appendCell(line, c), ',')
		if row.HasTime {
			line = strconv.AppendFloat(line, row.Time, 'f', -1, 64)
		}
		if _, err := x.Write(append(line, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// csvName returns a metric's name as a field.
func csvName(name string) string { return string(appendField(nil, name)) }

func (x *longCSV) media(*Run, *eventlog.Media) error { return nil }

// longRecords is the long layout as batches. Its columns are the same for all runs,
// because the first batch is written before the last row is known.
type longRecords struct {
	file     recordFile
	batch    *array.RecordBuilder
	multiRun bool
	rows     int
	texts    int // size in bytes of the texts in the batch
}

func newLongRecords(f Format, out io.Writer, multiRun bool) (*longRecords, error) {
	schema := arrow.NewSchema(append(identityFields(multiRun),
		arrow.Field{Name: titleMetric, Type: arrow.BinaryTypes.String},
		arrow.Field{Name: titleValue, Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		arrow.Field{Name: titleTime, Type: arrow.PrimitiveTypes.Float64, Nullable: true},
		arrow.Field{Name: titleBoolean, Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		arrow.Field{Name: titleText, Type: arrow.BinaryTypes.String, Nullable: true},
		arrow.Field{Name: titleExact, Type: arrow.BinaryTypes.String, Nullable: true},
	), nil)
	file, err := newRecordFile(f, out, schema)
	return &longRecords{file: file, batch: array.NewRecordBuilder(memory.DefaultAllocator, schema), multiRun: multiRun}, err
}

func (x *longRecords) row(run *Run, row *eventlog.Row) error {
	for i := range row.Cells {
		if c := &row.Cells[i]; c.Kind != eventlog.KindNone {
			x.point(run, row, c)
		}
	}
	if x.rows < windowRows && x.texts < maxBatchText/16 {
		return nil
	}
	return x.flush()
}

func (x *longRecords) point(run *Run, row *eventlog.Row, c *eventlog.Cell) {
	if x.rows == 0 {
		x.batch.Reserve(windowRows)
	}
	x.rows++
	x.texts += len(c.Name) + len(c.Text)
	columns := x.batch.Fields()
	add := func(column int, cell *eventlog.Cell, present bool) {
		if present {
			appendValueTo(columns[column], cell)
		} else {
			columns[column].AppendNull()
		}
	}
	if x.multiRun {
		add(0, &eventlog.Cell{Text: run.Viewer}, true)
		add(1, &eventlog.Cell{Text: run.ID}, true)
		columns = columns[2:]
	}
	if steps, ok := columns[0].(*array.Int64Builder); ok {
		steps.Append(row.Step)
	}
	add(1, &eventlog.Cell{Text: c.Name}, true)
	add(2, c, c.Kind == eventlog.KindNumber)
	add(3, &eventlog.Cell{Number: row.Time}, row.HasTime)
	add(4, c, c.Kind == eventlog.KindBoolean)
	add(5, c, c.Kind == eventlog.KindText)
	add(6, &eventlog.Cell{Text: c.Exact}, c.Exact != "")
}

// flush writes the collected rows as a batch.
func (x *longRecords) flush() error {
	batch := x.batch.NewRecordBatch()
	defer batch.Release()
	x.rows, x.texts = 0, 0
	return x.file.Write(batch)
}

func (x *longRecords) media(*Run, *eventlog.Media) error { return nil }

// Close completes the file.
func (x *longRecords) Close() error {
	if x.rows > 0 {
		if err := x.flush(); err != nil {
			return err
		}
	}
	return x.file.Close()
}
