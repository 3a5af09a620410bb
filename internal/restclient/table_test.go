package restclient

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

func TestTable_DecodesRecordedAnswers(t *testing.T) {
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

func TestTable_ReturnsTheSinksErrorUnchanged(t *testing.T) {
	v := newViewer(t, "0.6.0")
	v.on(tableRoute, answer(200, "application/json", fixture(t, "0.6.0", "metrics_step_basic")))
	full := errors.New("full")
	_, err := v.client(t).Table(t.Context(), "x", func(*eventlog.Row) error { return full }, nil)
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestProbeTable_FallsBackToTheWholeTable(t *testing.T) {
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
