package export

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
)

// recordFormats are the formats that have typed columns.
var recordFormats = []Format{Arrow, ArrowFile, Parquet}

// TestRecordFormats_ReadBack reads Arrow and Parquet with other readers and formats the
// content as text.
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
			for _, f := range recordFormats {
				golden(t, test.golden, readRecords(t, f, file(t, f, test.layout, test.runs)))
			}
		})
	}
}

// readRecords writes a file's titles and rows as text.
func readRecords(t *testing.T, f Format, file []byte) []byte {
	t.Helper()
	var titles []string
	var rows bytes.Buffer
	eachBatch(t, f, file, func(batch arrow.RecordBatch) {
		titles = nil
		for _, f := range batch.Schema().Fields() {
			titles = append(titles, f.Name+":"+f.Type.String())
		}
		printBatch(&rows, batch)
	})
	return append([]byte(strings.Join(titles, " | ")+"\n"), rows.Bytes()...)
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
