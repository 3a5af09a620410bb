package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
)

// benchFile returns an event file as the SDK writes it: eight values and a stage per line,
// a Unicode name, a seed beyond 2^53, and some NaN.
func benchFile(lines int) []byte {
	random := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for i := range lines {
		ts := 1795446718 + float64(i)*0.1234567
		loss := fmt.Sprint(random.ExpFloat64())
		if i%1000 == 999 {
			loss = "NaN"
		}
		fmt.Fprintf(&b, `{"ts": %.7f, "type": "metrics", "data": {"train/loss": %s, "train/acc": %v, "lr": %v, `+
			`"grad_norm": %v, "val/损失": %v, "tokens": %d, "seed": %d, "gpu": %v, "global_step": %d, "time": %.7f, "stage": "train"}}`+"\n",
			ts, loss, random.Float64(), random.Float64()*1e-3, random.NormFloat64(), random.Float64()*10,
			i*4096, 1<<60+1, random.IntN(100), i, ts)
	}
	return b.Bytes()
}

// feed parses the file in chunks as a connection delivers them.
func feed(tb testing.TB, p *Parser, file []byte, chunk int, h Handler) {
	tb.Helper()
	for from, to := 0, 0; to < len(file); {
		to = min(to+chunk, len(file))
		n, err := p.Parse(file[from:to], int64(from), h)
		if err != nil {
			tb.Fatal(err)
		}
		from += n
	}
}

func BenchmarkParse(b *testing.B) {
	for _, lines := range []int{1_000, 100_000} { // allocs/op must not grow with them
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			file := benchFile(lines)
			b.SetBytes(int64(len(file)))
			b.ReportAllocs()
			for b.Loop() {
				rows := 0
				feed(b, new(Parser), file, 1<<20, Handler{Row: func(*Row) error { rows++; return nil }})
				if rows != lines {
					b.Fatal(rows)
				}
			}
		})
	}
}

// BenchmarkParseMaps is the baseline of BenchmarkParse: encoding/json into maps, after
// removing the NaN it cannot parse.
func BenchmarkParseMaps(b *testing.B) {
	file := benchFile(10_000)
	nan := regexp.MustCompile(`\bNaN\b`)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		for line := range bytes.Lines(file) {
			if bytes.Contains(line, []byte("NaN")) {
				line = nan.ReplaceAll(line, []byte("null"))
			}
			var event map[string]any
			if err := json.Unmarshal(line, &event); err != nil {
				b.Fatal(err)
			}
		}
	}
}

const benchMetrics = 6

// benchRow is a row of the table benchmarks.
func benchRow() *Row {
	row := &Row{HasTime: true, Cells: make([]Cell, benchMetrics)}
	for i := range row.Cells {
		row.Cells[i] = number(fmt.Sprintf("metric/%d", i), 0)
	}
	return row
}

func fillTable(rows int) *Table {
	t, row := NewTable(), benchRow()
	for step := range rows {
		row.Step, row.Time = int64(step), float64(step)
		t.Put(row)
	}
	t.Compact()
	return t
}

// BenchmarkTablePut fills a table with a million rows of six metrics, and reports its
// memory.
func BenchmarkTablePut(b *testing.B) {
	const rows = 1_000_000
	b.ReportAllocs()
	for b.Loop() {
		t := fillTable(rows)
		b.ReportMetric(float64(t.Bytes())/(1<<20), "MiB")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
}

// BenchmarkTableAppend adds ten rows to a million and computes Stats.
func BenchmarkTableAppend(b *testing.B) {
	const rows = 1_000_000
	for name, step := range map[string]int64{"ascending": rows, "late": rows / 2} {
		b.Run(name, func(b *testing.B) {
			t, row := fillTable(rows), benchRow()
			if name == "late" { // so that new steps fit in the middle
				t = NewTable()
				for i := range int64(rows) {
					row.Step = 1000 * i
					t.Put(row)
				}
				step *= 1000
			}
			for b.Loop() {
				for range 10 {
					step++
					row.Step = step
					t.Put(row)
				}
				t.Compact()
			}
		})
	}
}

func BenchmarkTableStats(b *testing.B) {
	t := fillTable(1_000_000)
	for b.Loop() {
		if len(t.Stats(Selection{})) != benchMetrics {
			b.Fatal("stats are missing")
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	file := benchFile(10_000)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	batch := NewBatch(Selection{})
	var p Parser
	for b.Loop() {
		feed(b, &p, file, 1<<20, Handler{Row: func(row *Row) error {
			if batch.Append(row); batch.Points() >= 4096 {
				batch.Reset()
			}
			return nil
		}})
	}
}
