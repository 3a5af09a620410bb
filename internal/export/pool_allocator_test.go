package export

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

func TestPoolAllocator_ReturnsZeroedUnsharedBuffers(t *testing.T) {
	var r poolAllocator
	for _, size := range []int{0, 1, 63, 64, 65, 1000, 1 << 20, 1<<maxClass + 1} {
		a := r.Allocate(size)
		if len(a) != size {
			t.Fatalf("%d bytes of %d", len(a), size)
		}
		for i := range a {
			a[i] = 1
		}
		r.Free(a)
		b, c := r.Allocate(size), r.Allocate(size)
		for i := range b {
			b[i]++
			if b[i] != 1 || c[i] != 0 {
				t.Fatalf("byte %d of %d is not its own, or not zero", i, size)
			}
		}
		longer := r.Reallocate(2*size+1, b)
		if len(longer) != 2*size+1 || !bytes.Equal(longer[:size], bytes.Repeat([]byte{1}, size)) || bytes.Count(longer[size:], []byte{0}) != size+1 {
			t.Fatalf("%d bytes did not become longer", size)
		}
		shorter := r.Reallocate(size/2, longer)
		if again := r.Reallocate(size, shorter); bytes.Count(again[size/2:], []byte{0}) != size-size/2 {
			t.Fatalf("what is new of %d bytes is not zero", size)
		}
	}
}

// manyRows are enough for several row groups: a metric at each step, one with
// gaps and all kinds of numbers, one of texts and one of large integers.
const manyRows = 3*groupRows + 1234

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
	for _, f := range []Format{Arrow, Parquet} {
		var out bytes.Buffer
		schema := NewSchema(false)
		schema.Add(table, eventlog.Selection{})
		file, err := NewWide(f, &out, schema)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.WriteRun(&Run{}, table, eventlog.Selection{}); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		step := 0
		eachBatch(t, f, out.Bytes(), func(batch arrow.RecordBatch) {
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

// eachBatch reads a file with its own reader.
func eachBatch(t *testing.T, f Format, file []byte, use func(arrow.RecordBatch)) {
	t.Helper()
	var r array.RecordReader
	var err error
	if f == Arrow {
		r, err = ipc.NewReader(bytes.NewReader(file))
	} else {
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

// describe says what a row has, by the titles of its columns.
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
