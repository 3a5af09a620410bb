package restclient

import (
	"bytes"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

func TestTable_RefusesAnIncompleteTable(t *testing.T) {
	whole := `{"columns":["global_step","a"],"rows":[{"global_step":1,"a":0.5},{"a":true,"global_step":2}],"total":2,"sampled":2}`
	v := newViewer(t, "0.6.0")
	c := v.client(t)
	v.on(tableRoute, jsonAnswer(whole+" \n"))
	if rows, _, _, err := rowsOf(t, c); err != nil || len(rows) != 2 {
		t.Fatalf("the whole table: %d rows, %v", len(rows), err)
	}
	for cut := range len(whole) {
		v.on(tableRoute, jsonAnswer(whole[:cut]))
		_, _, _, err := rowsOf(t, c)
		wantKind(t, err, KindMalformed)
	}
	for _, tt := range []struct{ name, body string }{
		{"a longer total", strings.Replace(whole, `"total":2`, `"total":3`, 1)},
		{"a shorter total", strings.Replace(whole, `"total":2`, `"total":1`, 1)},
		{"a total that is no count", strings.Replace(whole, `"total":2`, `"total":-1`, 1)},
		{"a total that is no number", strings.Replace(whole, `"total":2`, `"total":null`, 1)},
		{"no rows", `{"columns":[],"total":0}`},
		{"trailing garbage", whole + "x"},
		{"a second table", whole + whole},
		{"a list", `[]`},
		{"nothing", ``},
		{"a row without a step", `{"rows":[{"a":1}],"total":1}`},
		{"a null step", `{"rows":[{"global_step":null}],"total":1}`},
		{"rows that are no list", `{"rows":{},"total":0}`},
		{"a row that is no object", `{"rows":[1],"total":1}`},
		{"a column that is no text", `{"columns":[1],"rows":[],"total":0}`},
		{"a bare NaN", `{"rows":[{"global_step":1,"a":NaN}],"total":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v.on(tableRoute, jsonAnswer(tt.body))
			_, _, _, err := rowsOf(t, c)
			wantKind(t, err, KindMalformed)
		})
	}
	t.Run("an endless row", func(t *testing.T) {
		v.on(tableRoute, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"rows":[{"global_step":1,"a":"`)
			chunk := bytes.Repeat([]byte("x"), 1<<20)
			for range 2 * maxRow / len(chunk) {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		})
		_, _, _, err := rowsOf(t, c)
		wantKind(t, err, KindTooLarge)
	})
}

// Releases 0.5.0 to 0.5.2 send columns and rows only, and ignore downsample.
func TestTable_WithoutATotal(t *testing.T) {
	v := newViewer(t, "0.5.3")
	v.on(tableRoute, jsonAnswer(`{"columns":["global_step","a"],"rows":[{"global_step":3,"a":0.5},{"global_step":7,"a":null}]}`))
	c := v.client(t)
	want := TableInfo{Columns: []string{"global_step", "a"}, Total: 2, LastStep: 7}
	rows, info, nulls, err := rowsOf(t, c)
	if err != nil || len(rows) != 2 || nulls["a"] != 1 {
		t.Errorf("%d rows, nulls %v, %v", len(rows), nulls, err)
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("the table: %s", diff)
	}
	info, err = c.ProbeTable(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, info); diff != "" {
		t.Errorf("the probe: %s", diff)
	}
}

// Steps are unbounded in the Viewer. A row whose step does not fit is left out and counted,
// with its nulls, and the other rows are read.
func TestTable_CountsRowsWhoseStepDoesNotFit(t *testing.T) {
	const body = `{"columns":["global_step","a","b"],"rows":[
		{"a":null,"global_step":-9223372036854775809,"b":1},
		{"global_step":-9223372036854775808,"a":1,"b":null},
		{"global_step":9223372036854775807,"a":2,"b":null},
		{"global_step":9223372036854775808,"a":null,"b":null},
		{"global_step":1000000000000000000000000000000,"a":3,"b":null}],"total":5,"sampled":5}`
	v := newViewer(t, "0.5.3")
	v.on(tableRoute, jsonAnswer(body))
	c := v.client(t)
	rows, info, nulls, err := rowsOf(t, c)
	if err != nil {
		t.Fatal(err)
	}
	want := []eventlog.Row{
		{Position: -1, Step: math.MinInt64, Cells: []eventlog.Cell{{Name: "a", Kind: eventlog.KindNumber, Number: 1}}},
		{Position: -1, Step: math.MaxInt64, Cells: []eventlog.Cell{{Name: "a", Kind: eventlog.KindNumber, Number: 2}}},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows: %s", diff)
	}
	if diff := cmp.Diff(map[string]int{"b": 2}, nulls); diff != "" {
		t.Errorf("nulls: %s", diff)
	}
	if info.Total != 5 || info.RowsWithoutStep != 3 || info.LastStep != math.MaxInt64 {
		t.Errorf("info %+v", info)
	}
	if info, err = c.ProbeTable(t.Context(), "x"); err != nil || info.Total != 5 || info.LastStep != math.MaxInt64 {
		t.Errorf("the probe: %+v, %v", info, err)
	}
}
