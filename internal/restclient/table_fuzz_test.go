package restclient

import (
	"bytes"
	stdjson "encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// decodeAll decodes a body and returns its rows as maps, for comparisons.
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

// stdRows decodes the rows with encoding/json and drops what is not a cell.
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

// FuzzTable checks that the decoder never panics, and agrees with encoding/json on what
// both accept.
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
		if int(d.rows-d.withoutStep) != len(rows) {
			t.Fatalf("%d rows were counted, %d without a step, %d came", d.rows, d.withoutStep, len(rows))
		}
		for _, row := range rows {
			for name, cell := range row {
				if s, ok := cell.(string); ok && strings.ToValidUTF8(s, "") != s {
					t.Fatalf("%q: invalid text %q", name, s)
				}
			}
		}
		// encoding/json treats duplicate names and invalid UTF-8 differently.
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

// bigTable returns a body like that of a real run: six metrics, a stage, a time.
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

// BenchmarkTable compares the decoder with encoding/json on a table of 100,000 rows.
func BenchmarkTable(b *testing.B) {
	body := bigTable(100_000)
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			d := newTableDecoder(bytes.NewReader(body), func(*eventlog.Row) error { return nil })
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
