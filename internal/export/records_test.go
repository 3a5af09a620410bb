package export

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
)

// TestRecordFormats_ReadBack reads Arrow and Parquet with their own readers and
// writes what they say as text.
func TestRecordFormats_ReadBack(t *testing.T) {
	for _, test := range []struct {
		golden string
		layout Layout
		runs   int
	}{
		{"wide.records", Wide, 1},
		{"wide_several.records", Wide, 2},
		{"long.records", Long, 1},
		{"long_several.records", Long, 2},
	} {
		t.Run(test.golden, func(t *testing.T) {
			golden(t, test.golden, readArrow(t, file(t, Arrow, test.layout, test.runs)))
			golden(t, test.golden, readParquet(t, file(t, Parquet, test.layout, test.runs)))
		})
	}
}

func readArrow(t *testing.T, file []byte) []byte {
	t.Helper()
	r, err := ipc.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var out bytes.Buffer
	for r.Next() {
		printBatch(&out, r.RecordBatch())
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return titled(r.Schema(), out.Bytes())
}

func readParquet(t *testing.T, file []byte) []byte {
	t.Helper()
	table, err := pqarrow.ReadTable(t.Context(), bytes.NewReader(file), parquet.NewReaderProperties(nil),
		pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Release()
	var out bytes.Buffer
	r := array.NewTableReader(table, 0)
	defer r.Release()
	for r.Next() {
		printBatch(&out, r.RecordBatch())
	}
	return titled(table.Schema(), out.Bytes())
}

func titled(schema *arrow.Schema, rows []byte) []byte {
	titles := make([]string, 0, schema.NumFields())
	for _, f := range schema.Fields() {
		titles = append(titles, f.Name+":"+f.Type.String())
	}
	return append([]byte(strings.Join(titles, " | ")+"\n"), rows...)
}

func printBatch(out *bytes.Buffer, batch arrow.RecordBatch) {
	for row := range int(batch.NumRows()) {
		for i, column := range batch.Columns() {
			if i > 0 {
				out.WriteString(" | ")
			}
			fmt.Fprintf(out, "%q", column.ValueStr(row))
		}
		out.WriteString("\n")
	}
}
