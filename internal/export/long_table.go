package export

import (
	"bufio"
	"io"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The columns of the long layout after those of identity. Only Arrow and
// Parquet have the last three: in CSV a value is written as it is.
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
	*bufio.Writer
	multiRun bool
	names    map[string]string // metrics as fields
}

func newLongCSV(out io.Writer, multiRun bool) (*longCSV, error) {
	x := &longCSV{Writer: bufio.NewWriterSize(out, bufferSize), multiRun: multiRun, names: map[string]string{}}
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
		line = append(append(line, x.name(c.Name)...), ',')
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

// name is a metric's name as a field.
func (x *longCSV) name(name string) string {
	field, ok := x.names[name]
	if !ok {
		if len(x.names) >= maxCachedNames {
			clear(x.names)
		}
		field = string(appendField(nil, name))
		x.names[name] = field
	}
	return field
}

func (x *longCSV) media(*Run, *eventlog.Media) error { return nil }

// Close completes the file.
func (x *longCSV) Close() error { return x.Flush() }

// longRecords is the long layout as record batches. Its columns are the same
// for all runs, since the first batch goes out before the last row is known.
type longRecords struct {
	file     recordFile
	builder  *array.RecordBuilder
	multiRun bool
	rows     int
}

func newLongRecords(f Format, out io.Writer, multiRun bool) (*longRecords, error) {
	double, text := arrow.PrimitiveTypes.Float64, arrow.BinaryTypes.String
	fields := append(identityFields(multiRun),
		arrow.Field{Name: titleMetric, Type: text},
		arrow.Field{Name: titleValue, Type: double, Nullable: true},
		arrow.Field{Name: titleTime, Type: double, Nullable: true},
		arrow.Field{Name: titleBoolean, Type: arrow.FixedWidthTypes.Boolean, Nullable: true},
		arrow.Field{Name: titleText, Type: text, Nullable: true},
		arrow.Field{Name: titleExact, Type: text, Nullable: true},
	)
	schema := arrow.NewSchema(fields, nil)
	mem := &poolAllocator{}
	x := &longRecords{multiRun: multiRun, builder: array.NewRecordBuilder(mem, schema)}
	var err error
	x.file, err = newRecordFile(f, out, schema, mem)
	return x, err
}

func (x *longRecords) row(run *Run, row *eventlog.Row) error {
	for i := range row.Cells {
		if c := &row.Cells[i]; c.Kind != eventlog.KindNone {
			x.point(run, row, c)
		}
	}
	if x.rows < windowRows {
		return nil
	}
	x.rows = 0
	return writeBatch(x.file, x.builder)
}

func (x *longRecords) point(run *Run, row *eventlog.Row, c *eventlog.Cell) {
	x.rows++
	at := 0
	if x.multiRun {
		at = 2
		appendString(x.builder.Field(0), run.Viewer)
		appendString(x.builder.Field(1), run.ID)
	}
	appendStep(x.builder.Field(at), row.Step)
	appendString(x.builder.Field(at+1), c.Name)
	appendIf(x.builder.Field(at+2), c, c.Kind == eventlog.KindNumber)
	appendIf(x.builder.Field(at+3), &eventlog.Cell{Number: row.Time}, row.HasTime)
	appendIf(x.builder.Field(at+4), c, c.Kind == eventlog.KindBoolean)
	appendIf(x.builder.Field(at+5), c, c.Kind == eventlog.KindText)
	appendIf(x.builder.Field(at+6), &eventlog.Cell{Text: c.Exact}, c.Exact != "")
}

// appendIf adds a cell, or a null.
func appendIf(field array.Builder, c *eventlog.Cell, present bool) {
	if present {
		appendTyped(field, c)
	} else {
		field.AppendNull()
	}
}

func (x *longRecords) media(*Run, *eventlog.Media) error { return nil }

// Close completes the file.
func (x *longRecords) Close() error {
	defer x.builder.Release()
	if x.rows > 0 {
		if err := writeBatch(x.file, x.builder); err != nil {
			return err
		}
	}
	return x.file.Close()
}
