package demotest

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/demoviewer"
)

// metricTable is GET /api/runs/{run_id}/metrics and the identical metrics_step. A captured
// downsampled table is repeated while the run is unchanged.
func metricTable(v *Viewer, c *call) (answer, bool) {
	r := v.Visible(c.Params["run_id"])
	if r == nil {
		return answer{}, false
	}
	t := mergeLines(demoviewer.EventBytes(r, v.Clock()))
	total := len(t.rows)
	if points, err := strconv.Atoi(c.Query.Get("downsample")); err == nil && points < total {
		if a, known := v.capturedTable(c, total); known {
			return a, true
		}
		if !t.thin(points) {
			return answer{
				Status: http.StatusInternalServerError, ContentType: "text/plain; charset=utf-8",
				Text: []byte("Internal Server Error"),
			}, true
		}
	}
	header := map[string]string{"X-Row-Count": strconv.Itoa(len(t.rows)), "X-Total-Count": strconv.Itoa(total)}
	if n := len(t.rows); n > 0 {
		header["X-Last-Step"] = string(t.rows[n-1][0])
	}
	return answer{Status: http.StatusOK, Header: header, Text: t.encode(total)}, true
}

// capturedTable returns the captured answer if it has the same total.
func (v *Viewer) capturedTable(c *call, total int) (answer, bool) {
	for _, a := range v.Captured() {
		if a.Path == c.Request.URL.RequestURI() && a.Headers["x-total-count"] == strconv.Itoa(total) {
			return v.Replay(a), true
		}
	}
	return answer{}, false
}

// thin keeps evenly chosen rows and the last one. The real Viewer chooses by the first
// column with a number within the first 100 rows, and fails, which false reports, if it
// finds text there.
func (t *table) thin(points int) bool {
	column := len(t.columns)
	for _, cells := range t.rows[:min(len(t.rows), 100)] {
		for j, cell := range cells[1:column] {
			if len(cell) > 0 && cell[0] != '"' {
				column = j + 1
				break
			}
		}
	}
	picked := make([][]json.RawMessage, points)
	for i := range picked {
		picked[i] = t.rows[i*(len(t.rows)-1)/(points-1)]
	}
	for _, cells := range t.rows {
		if column == len(t.columns) {
			break
		}
		if text := strings.Trim(string(cells[column]), `"`); text != string(cells[column]) {
			if _, err := strconv.ParseFloat(strings.TrimSpace(text), 64); err != nil {
				return false
			}
		}
	}
	t.rows = picked
	return true
}

// encode returns the body: rows are objects, each with every column.
func (t table) encode(total int) []byte {
	names := make([][]byte, len(t.columns))
	for i, column := range t.columns {
		names[i] = demoviewer.Encode(column)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"columns":%s,"rows":[`, demoviewer.Encode(t.columns))
	for i, cells := range t.rows {
		if i > 0 {
			b.WriteByte(',')
		}
		for j, cell := range cells {
			fmt.Fprintf(&b, "%c%s:%s", "{,"[min(j, 1)], names[j], cmp.Or(string(cell), "null"))
		}
		b.WriteByte('}')
	}
	fmt.Fprintf(&b, `],"total":%d,"sampled":%d}`, total, len(t.rows))
	return b.Bytes()
}
