package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// manyRows are enough for several row groups: a metric at each step, one with
// gaps and all kinds of numbers, one of texts and one of large integers.
const manyRows = groupRows + windowRows + 1234

func manyCells(step int) []eventlog.Cell {
	cells := []eventlog.Cell{{Name: "all", Kind: eventlog.KindNumber, Number: 1 / float64(step+1)}}
	if step%3 == 0 {
		cells = append(cells, eventlog.Cell{Name: "some", Kind: eventlog.KindNumber, Number: []float64{math.NaN(), math.Inf(-1), float64(step)}[step%2+step%5/4]})
	}
	if step%7 == 0 {
		cells = append(cells, eventlog.Cell{Name: "text", Kind: eventlog.KindText, Text: "п" + strconv.Itoa(step)})
	}
	if step%11 == 0 {
		cells = append(cells, eventlog.Cell{Name: "huge", Kind: eventlog.KindNumber, Number: float64(1<<60 + step), Exact: strconv.Itoa(1<<60 + step)})
	}
	return cells
}

// TestRecordFormats_ManyGroupsReadBack compares every value, since memory is
// used again from group to group.
func TestRecordFormats_ManyGroupsReadBack(t *testing.T) {
	table := eventlog.NewTable()
	for step := range manyRows {
		table.Put(&eventlog.Row{Step: int64(step), Cells: manyCells(step)})
	}
	table.Compact()
	for _, f := range recordFormats {
		file := wideFile(t, f, table)
		step := 0
		eachBatch(t, f, file, func(batch arrow.RecordBatch) {
			for row := range int(batch.NumRows()) {
				if got, want := describe(batch, row), describeWanted(step); got != want {
					t.Fatalf("format %d, step %d: %s, want %s", f, step, got, want)
				}
				step++
			}
		})
		if step != manyRows {
			t.Errorf("format %d: %d rows, want %d", f, step, manyRows)
		}
	}
}

// wideFile is a wide table of one run.
func wideFile(tb testing.TB, f Format, table *eventlog.Table) []byte {
	tb.Helper()
	var out bytes.Buffer
	schema := NewSchema(false)
	schema.Add(table, eventlog.Selection{})
	file, err := NewWide(f, &out, schema, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(file.WriteRun(&Run{}, table, eventlog.Selection{}), file.Close()); err != nil {
		tb.Fatal(err)
	}
	return out.Bytes()
}

// eachBatch reads a file with its own reader.
func eachBatch(t *testing.T, f Format, file []byte, use func(arrow.RecordBatch)) {
	t.Helper()
	var r array.RecordReader
	var err error
	switch f {
	case Arrow:
		r, err = ipc.NewReader(bytes.NewReader(file))
	case ArrowFile:
		var whole *ipc.FileReader
		if whole, err = ipc.NewFileReader(bytes.NewReader(file)); err == nil {
			var batches []arrow.RecordBatch
			for i := range whole.NumRecords() {
				batch, err := whole.RecordBatchAt(i)
				if err != nil {
					t.Fatal(err)
				}
				batches = append(batches, batch)
			}
			r, err = array.NewRecordReader(whole.Schema(), batches)
		}
	default:
		var table arrow.Table
		table, err = pqarrow.ReadTable(t.Context(), bytes.NewReader(file), parquet.NewReaderProperties(nil),
			pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
		if err == nil {
			defer table.Release()
			r = array.NewTableReader(table, 0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	for r.Next() {
		use(r.RecordBatch())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
}

// describe returns the values of a row by the titles of its columns.
func describe(batch arrow.RecordBatch, row int) string {
	values := map[string]string{}
	for i, column := range batch.Columns() {
		if !column.IsNull(row) {
			values[batch.ColumnName(i)] = column.ValueStr(row)
		}
	}
	return fmt.Sprint(values)
}

func describeWanted(step int) string {
	values := map[string]string{"step": strconv.Itoa(step)}
	for _, c := range manyCells(step) {
		switch {
		case c.Kind == eventlog.KindText:
			values[c.Name] = c.Text
		case c.Exact != "":
			values[c.Name+"#exact"] = c.Exact
			values[c.Name] = fmt.Sprintf("%v", c.Number)
		default:
			values[c.Name] = fmt.Sprintf("%v", c.Number)
		}
	}
	return fmt.Sprint(values)
}

// TestRecordFormats_KeepColumnNames has names that are sorted, split, or joined
// into one by readers and writers that expect the names of Go or SQL.
func TestRecordFormats_KeepColumnNames(t *testing.T) {
	names := []string{"", " ", ".", "A", "a", "a.b", "a.b.c", "a/b", "b", "list.element", "z", "Ω"}
	for _, rows := range []int{0, 1, 7, 8, 9} {
		table := eventlog.NewTable()
		for step := range rows {
			row := &eventlog.Row{Step: int64(step)}
			for i, name := range names {
				c := eventlog.Cell{Name: name, Kind: eventlog.KindNumber, Number: float64(i)}
				switch {
				case (step+i)%5 == 0:
					continue
				case name == "b":
					c.Kind, c.Number = eventlog.KindBoolean, float64(step%2)
				case name == "z":
					c.Kind, c.Text = eventlog.KindText, strings.Repeat("z", step)
				}
				row.Cells = append(row.Cells, c)
			}
			table.Put(row)
		}
		table.Compact()
		for _, f := range recordFormats {
			file := wideFile(t, f, table)
			step := 0
			eachBatch(t, f, file, func(batch arrow.RecordBatch) {
				if rows > 1 {
					checkNames(t, batch, append([]string{"step"}, names...))
				}
				for row := range int(batch.NumRows()) {
					for i, name := range names {
						checkNamed(t, batch, name, row, step, i)
					}
					step++
				}
			})
			if step != rows {
				t.Errorf("format %d: %d rows, want %d", f, step, rows)
			}
		}
	}
}

func checkNames(t *testing.T, batch arrow.RecordBatch, want []string) {
	t.Helper()
	var got []string
	for _, f := range batch.Schema().Fields() {
		got = append(got, f.Name)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("the columns are %q, want %q", got, want)
	}
}

// checkNamed checks one cell of the table with unusual names.
func checkNamed(t *testing.T, batch arrow.RecordBatch, name string, row, step, i int) {
	t.Helper()
	want := strconv.Itoa(i)
	switch {
	case (step+i)%5 == 0:
		want = "(null)"
	case name == "b":
		want = strconv.FormatBool(step%2 == 1)
	case name == "z":
		want = strings.Repeat("z", step)
	}
	indices := batch.Schema().FieldIndices(name)
	if len(indices) == 0 && want == "(null)" {
		return
	}
	if got := batch.Column(indices[0]).ValueStr(row); got != want {
		t.Errorf("%q at step %d: %q, want %q", name, step, got, want)
	}
}

func TestParquet_RejectsTooManyColumns(t *testing.T) {
	fields := slices.Repeat(identityFields(false), 1<<16)
	if _, err := newParquetFile(io.Discard, arrow.NewSchema(fields, nil)); !errors.Is(err, errTooManyColumns) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkRecordFormats(b *testing.B) {
	for name, f := range map[string]Format{"arrow": Arrow, "parquet": Parquet} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				points, err := NewPoints(f, io.Discard, false, eventlog.Selection{})
				if err != nil {
					b.Fatal(err)
				}
				for step := range 50_000 {
					row := &eventlog.Row{Step: int64(step), Time: float64(step), HasTime: true, Cells: manyCells(step)}
					if err := points.WriteRow(&Run{}, row); err != nil {
						b.Fatal(err)
					}
				}
				if err := points.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
