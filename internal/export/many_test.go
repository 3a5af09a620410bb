package export

import (
	"fmt"
	"io"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// BenchmarkManyMetrics writes files of many metrics of two points: the time for one
// metric must not grow with their number.
func BenchmarkManyMetrics(b *testing.B) {
	for _, metrics := range []int{1000, 10_000} {
		table, row := eventlog.NewTable(), &eventlog.Row{}
		for i := range metrics {
			row.Cells = append(row.Cells, eventlog.Cell{Name: fmt.Sprintf("metric/%d", i), Kind: eventlog.KindNumber, Number: float64(i)})
		}
		for range 2 {
			row.Step++
			table.Put(row)
		}
		table.Compact()
		run := sampleRun()
		report := func() *Report {
			r := NewReport(1, nil)
			r.AddRun(run, table, eventlog.Selection{})
			return r
		}
		for name, write := range map[string]func() error{
			"HTML":     func() error { return report().WriteHTML(io.Discard, nil) },
			"Markdown": func() error { return report().WriteMarkdown(io.Discard, nil) },
			"JSON": func() error {
				doc, err := NewDocument(io.Discard, nil)
				if err != nil {
					return err
				}
				return doc.WriteRun(run, func(d *Document) error { return d.WriteSeries(run, table, Counts{}, eventlog.Selection{}) }, nil)
			},
		} {
			b.Run(fmt.Sprintf("%s/%d", name, metrics), func(b *testing.B) {
				for b.Loop() {
					if err := write(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(metrics), "µs/metric")
			})
		}
	}
}
