package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"maps"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// export compares a table as CSV, and a document as JSON, with GetMetrics.
func (r *release) export(t *testing.T) {
	for _, key := range []string{realviewer.KeyBasic, realviewer.KeyFarSteps} {
		req := &runicornapiv1.ExportExperimentRequest{
			RunId: r.seeded.Manifest.Runs[key].RunID, Format: runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV,
			Layout: runicornapiv1.ExportLayout_EXPORT_LAYOUT_WIDE,
		}
		file, err := export(t, r.s, req)
		if err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		got := csvCells(t, file.content, r.cells[key])
		if !maps.EqualFunc(r.cells[key], got, cell.isSame) {
			t.Errorf("%s: GetMetrics and CSV (-get +csv):\n%.2000s", key, cmp.Diff(r.cells[key], got))
		}
		req.Format, req.Layout = runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON, 0
		if file, err = export(t, r.s, req); err != nil {
			t.Fatalf("%s: %v", key, err)
		}
		if got = documentCells(t, file.content); !maps.EqualFunc(r.cells[key], got, cell.isSame) {
			t.Errorf("%s: GetMetrics and JSON (-get +json):\n%.2000s", key, cmp.Diff(r.cells[key], got))
		}
	}
}

// csvCells reads a wide CSV file, in which a cell is of the kind that it should
// be of.
func csvCells(t *testing.T, content []byte, want map[position]cell) map[position]cell {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	cells := map[position]cell{}
	for _, row := range rows[1:] {
		step, err := strconv.ParseInt(row[0], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for i, text := range row {
			at := position{rows[0][i], step}
			switch {
			case i == 0 || text == "":
			case want[at].Kind == "text":
				cells[at] = cell{Kind: "text", Text: text}
			case want[at].Kind == "boolean":
				cells[at] = boolean(text == "true")
			default:
				cells[at] = number(text)
			}
		}
	}
	return cells
}

// documentCells reads the series of a JSON export.
func documentCells(t *testing.T, content []byte) map[position]cell {
	t.Helper()
	var document struct {
		Experiments []struct {
			Series []struct {
				Metric string
				Steps  []int64
				Values []any
			}
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil || len(document.Experiments) != 1 {
		t.Fatalf("%d experiments, %v", len(document.Experiments), err)
	}
	cells := map[position]cell{}
	for _, s := range document.Experiments[0].Series {
		for i, step := range s.Steps {
			cells[position{s.Metric, step}] = jsonCell(t, s.Values[i])
		}
	}
	return cells
}
