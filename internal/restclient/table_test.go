package restclient

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

const tableRoute = "GET /api/runs/x/metrics_step"

// rowsOf reads a table through a client and keeps its rows.
func rowsOf(t *testing.T, c *Client) ([]eventlog.Row, TableInfo, map[string]int, error) {
	t.Helper()
	var rows []eventlog.Row
	nulls := make(map[string]int)
	info, err := c.Table(t.Context(), "x", func(row *eventlog.Row) error {
		own := *row
		own.Cells = append([]eventlog.Cell(nil), row.Cells...)
		rows = append(rows, own)
		return nil
	}, func(name string, n int) { nulls[name] = n })
	return rows, info, nulls, err
}

func TestTable_ReadsWhatTheViewersSent(t *testing.T) {
	for _, tt := range versions {
		t.Run(tt.version, func(t *testing.T) {
			v := newViewer(t, tt.version)
			v.on(tableRoute, answer(200, "application/json", fixture(t, tt.version, "metrics_step_nan_types")))
			rows, info, nulls, err := rowsOf(t, v.client(t))
			if err != nil {
				t.Fatal(err)
			}
			if info.Total != 4 || info.LastStep != 4 || info.Columns[0] != "global_step" || info.Lossy {
				t.Errorf("info %+v", info)
			}
			if diff := cmp.Diff(map[string]int{"b": 3, "big": 3, "huge": 3, "loss": 3, "n": 4, "s": 3, "x": 1}, nulls); diff != "" {
				t.Errorf("nulls: %s", diff)
			}
			last := rows[3]
			if last.Position != -1 || last.Step != 4 || !last.HasTime || last.Time < 1e9 {
				t.Errorf("row %+v", last)
			}
			got := make(map[string]eventlog.Cell)
			for _, cell := range last.Cells {
				got[cell.Name] = cell
			}
			want := map[string]eventlog.Cell{
				"loss": {Name: "loss", Kind: eventlog.KindNumber, Number: 0.5},
				"s":    {Name: "s", Kind: eventlog.KindText, Text: "a string"},
				"b":    {Name: "b", Kind: eventlog.KindBoolean, Number: 1},
				"big":  {Name: "big", Kind: eventlog.KindNumber, Number: 1 << 60},
				"huge": {Name: "huge", Kind: eventlog.KindNumber, Number: 1e308},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
		for _, name := range []string{"metrics_step_basic", "metrics_step_sparse_unicode_outoforder", "metrics_step_empty"} {
			t.Run(tt.version+" "+name, func(t *testing.T) {
				body := fixture(t, tt.version, name)
				var rows []map[string]any
				_, err := decodeAll(body, &rows)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(stdRows(t, body), rows); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// decodeAll decodes a body and turns its rows into maps, for comparisons.
func decodeAll(body []byte, rows *[]map[string]any) (*tableDecoder, error) {
	d := newTableDecoder(bytes.NewReader(body), func(row *eventlog.Row) error {
		m := map[string]any{"global_step": float64(row.Step)}
		if row.HasTime {
			m["time"] = row.Time
		}
		for _, cell := range row.Cells {
			switch cell.Kind {
			case eventlog.KindNumber:
				m[cell.Name] = cell.Number
			case eventlog.KindBoolean:
				m[cell.Name] = cell.Number == 1
			case eventlog.KindText:
				m[cell.Name] = cell.Text
			default:
				delete(m, cell.Name)
			}
		}
		*rows = append(*rows, m)
		return nil
	})
	return d, d.decode()
}

// stdRows decodes the rows with encoding/json and drops what is no cell.
func stdRows(t *testing.T, body []byte) []map[string]any {
	t.Helper()
	var table struct{ Rows []map[string]any }
	if err := stdjson.Unmarshal(body, &table); err != nil {
		t.Fatal(err)
	}
	for _, row := range table.Rows {
		dropNoCells(row)
	}
	if len(table.Rows) == 0 {
		return nil
	}
	return table.Rows
}

// dropNoCells deletes nulls, lists and objects.
func dropNoCells(row map[string]any) {
	for name, cell := range row {
		switch cell.(type) {
		case float64, bool, string:
		default:
			delete(row, name)
		}
	}
}

func TestTable_CellsOfEveryKind(t *testing.T) {
	number := func(f float64, exact string) []eventlog.Cell {
		return []eventlog.Cell{{Name: "m", Kind: eventlog.KindNumber, Number: f, Exact: exact}}
	}
	text := func(s string) []eventlog.Cell {
		return []eventlog.Cell{{Name: "m", Kind: eventlog.KindText, Text: s}}
	}
	for _, tt := range []struct {
		name, cell string
		want       []eventlog.Cell
	}{
		{"an integer", "7", number(7, "")},
		{"2^53", "9007199254740992", number(1<<53, "")},
		{"2^53+1", "9007199254740993", number(1<<53, "9007199254740993")},
		{"2^60", "1152921504606846976", number(1<<60, "")},
		{"2^60+1", "1152921504606846977", number(1<<60, "1152921504606846977")},
		{"the smallest int64, which a double holds", "-9223372036854775808", number(-1<<63, "")},
		{"beyond int64", "123456789012345678901234567890", number(123456789012345678901234567890, "123456789012345678901234567890")},
		{"a float", "0.30000000000000004", number(0.30000000000000004, "")},
		{"a float out of range", "1e999", number(math.Inf(1), "")},
		{"true", "true", []eventlog.Cell{{Name: "m", Kind: eventlog.KindBoolean, Number: 1}}},
		{"false", "false", []eventlog.Cell{{Name: "m", Kind: eventlog.KindBoolean}}},
		{"a text", `"wärm\n\u00e9\ud83d\ude42"`, text("wärm\né🙂")},
		{"an empty text", `""`, text("")},
		{"a lone surrogate", `"\ud800"`, text("\uFFFD")},
		{"null", "null", nil},
		{"a list", "[1,[2]]", nil},
		{"an object", `{"a":{}}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []eventlog.Cell
			body := fmt.Sprintf(`{"columns":["global_step","m"],"rows":[{"m":%s,"global_step":1}],"total":1}`, tt.cell)
			d := newTableDecoder(strings.NewReader(body), func(row *eventlog.Row) error {
				got = append(got, row.Cells...)
				return nil
			})
			if err := d.decode(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTable_RefusesWhatIsNoWholeTable(t *testing.T) {
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
func TestTable_WithoutATotalIsAsLongAsItIs(t *testing.T) {
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

// The steps of a Viewer have no bound. A row whose step does not fit is left out
// and counted, with its nulls, and the rest is read.
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
	if info.Total != 5 || info.UnplacedRows != 3 || info.LastStep != math.MaxInt64 {
		t.Errorf("info %+v", info)
	}
	if info, err = c.ProbeTable(t.Context(), "x"); err != nil || info.Total != 5 || info.LastStep != math.MaxInt64 {
		t.Errorf("the probe: %+v, %v", info, err)
	}
}

func TestTable_TheSinksErrorIsReturnedAsItIs(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(tableRoute, answer(200, "application/json", fixture(t, "0.6.0", "metrics_step_basic")))
	full := errors.New("full")
	_, err := v.client(t).Table(t.Context(), "x", func(*eventlog.Row) error { return full }, nil)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestProbeTable_AsksForASampleAndFallsBack(t *testing.T) {
	v := newViewer(t, "0.5.3")
	v.on(tableRoute, answer(200, "application/json", fixture(t, "0.5.3", "metrics_step_100k_downsample_100")))
	info, err := v.client(t).ProbeTable(t.Context(), "x")
	if err != nil || info.Total != 100_000 || info.LastStep != 100_000 || len(info.Columns) == 0 {
		t.Errorf("%+v, %v", info, err)
	}
	if got := v.requests()[0].Query; got != "downsample=100" {
		t.Errorf("query %q", got)
	}
	v.on(tableRoute, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "" {
			answer(500, "text/plain", []byte("Internal Server Error"))(w, r)
			return
		}
		answer(200, "application/json", fixture(t, "0.5.3", "metrics_step_nan_types"))(w, r)
	})
	if info, err = v.client(t).ProbeTable(t.Context(), "x"); err != nil || info.Total != 4 {
		t.Errorf("with a text in the sampled column: %+v, %v", info, err)
	}
}

// FuzzTable: the decoder never panics, and agrees with encoding/json on what
// both take.
func FuzzTable(f *testing.F) {
	for _, name := range []string{"metrics_step_nan_types", "metrics_step_sparse_unicode_outoforder", "metrics_step_empty", "run_404"} {
		f.Add(fixture(f, "0.6.0", name))
	}
	f.Add([]byte(`{"rows":[{"global_step":1,"a":"\ud800","a":2}],"total":1,"columns":["a"]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var rows []map[string]any
		d, err := decodeAll(body, &rows)
		if err != nil {
			return
		}
		if int(d.rows-d.unplaced) != len(rows) {
			t.Fatalf("%d rows were counted, %d unplaced, %d came", d.rows, d.unplaced, len(rows))
		}
		for _, row := range rows {
			for name, cell := range row {
				if s, ok := cell.(string); ok && strings.ToValidUTF8(s, "") != s {
					t.Fatalf("%q: invalid text %q", name, s)
				}
			}
		}
		// Names that come twice and invalid UTF-8 are read in other ways there.
		if !jsontext.Value(body).IsValid() {
			return
		}
		if diff := cmp.Diff(plainRows(t, body), rows, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// plainRows decodes the rows with encoding/json, as decodeAll does.
func plainRows(t *testing.T, body []byte) []map[string]any {
	t.Helper()
	var table map[string]stdjson.RawMessage
	var rows []map[string]any
	if stdjson.Unmarshal(body, &table) != nil || stdjson.Unmarshal(table["rows"], &rows) != nil {
		t.Skip("a number out of range, or too deep for encoding/json")
	}
	for _, row := range rows {
		if step, ok := row["global_step"].(float64); ok {
			if math.Abs(step) >= 1<<63 {
				t.Skip("a double does not say whether the step fits")
			}
			row["global_step"] = math.Trunc(step)
		}
		if _, ok := row["time"].(float64); !ok {
			delete(row, "time")
		}
		dropNoCells(row)
	}
	return rows
}

// bigTable is a body like that of a real run: six metrics, a stage, a time.
func bigTable(rows int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	b.WriteString(`{"columns":["global_step","accuracy","grad_norm","loss","lr","stage","throughput","time"],"rows":[`)
	for i := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"global_step":%d,"loss":%v,"accuracy":%v,"lr":%v,"grad_norm":%v,"throughput":%d,"stage":"train","time":%v}`,
			i+1, rng.Float64(), rng.Float64(), rng.Float64()/1000, rng.Float64()*10, rng.IntN(10000), 1795446662.8663676+float64(i))
	}
	fmt.Fprintf(&b, `],"total":%d,"sampled":%d}`, rows, rows)
	return b.Bytes()
}

// BenchmarkTable compares the decoder with encoding/json into maps of rows on
// a table of 100,000 rows.
func BenchmarkTable(b *testing.B) {
	body := bigTable(100_000)
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			d := newTableDecoder(&textReader{r: bytes.NewReader(body)}, func(*eventlog.Row) error { return nil })
			if err := d.decode(); err != nil || d.rows != 100_000 {
				b.Fatal(d.rows, err)
			}
		}
	})
	b.Run("maps", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			var table struct{ Rows []map[string]any }
			if err := stdjson.NewDecoder(bytes.NewReader(body)).Decode(&table); err != nil || len(table.Rows) != 100_000 {
				b.Fatal(err)
			}
		}
	})
}
