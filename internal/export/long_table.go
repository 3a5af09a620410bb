package export

import (
	"bufio"
	"io"
	"strconv"

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

// longRecords is the long layout as batches. Its columns are the same for all
// runs, since the first batch goes out before the last row is known.
type longRecords struct {
	file     recordFile
	vectors  []*vector
	multiRun bool
	rows     int
}

func newLongRecords(f Format, out io.Writer, multiRun bool) (*longRecords, error) {
	fields := append(identityFields(multiRun),
		field{name: titleMetric, kind: typeText},
		field{name: titleValue, kind: typeDouble, nullable: true},
		field{name: titleTime, kind: typeDouble, nullable: true},
		field{name: titleBoolean, kind: typeBoolean, nullable: true},
		field{name: titleText, kind: typeText, nullable: true},
		field{name: titleExact, kind: typeText, nullable: true},
	)
	x := &longRecords{multiRun: multiRun, vectors: newVectors(fields)}
	var err error
	x.file, err = newRecordFile(f, out, fields)
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
	return x.flush()
}

func (x *longRecords) point(run *Run, row *eventlog.Row, c *eventlog.Cell) {
	x.rows++
	columns := x.vectors
	if x.multiRun {
		columns[0].appendText(run.Viewer)
		columns[1].appendText(run.ID)
		columns = columns[2:]
	}
	columns[0].appendInteger(row.Step)
	columns[1].appendText(c.Name)
	columns[2].appendIf(c, c.Kind == eventlog.KindNumber)
	columns[3].appendIf(&eventlog.Cell{Number: row.Time}, row.HasTime)
	columns[4].appendIf(c, c.Kind == eventlog.KindBoolean)
	columns[5].appendIf(c, c.Kind == eventlog.KindText)
	columns[6].appendIf(&eventlog.Cell{Text: c.Exact}, c.Exact != "")
}

// flush writes the rows so far as a batch.
func (x *longRecords) flush() error {
	err := x.file.write(x.rows, x.vectors)
	for _, v := range x.vectors {
		v.reset()
	}
	x.rows = 0
	return err
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
