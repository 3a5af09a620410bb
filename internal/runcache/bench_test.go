package runcache

import (
	"fmt"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// BenchmarkExtend reads a run of a million rows after ten more lines.
func BenchmarkExtend(b *testing.B) {
	const rows, more = 1_000_000, 10
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, rows))}
	c := newTestCache(b, Config{MaxBytes: 1 << 30})
	use := func(v *View) error {
		if v.Table.Rows() < rows {
			return fmt.Errorf("%d rows", v.Table.Rows())
		}
		return nil
	}
	if err := c.Read(b.Context(), runsourcetest.TheRun, src, use); err != nil {
		b.Fatal(err)
	}
	src.File = append(make([]byte, 0, 2*len(src.File)), src.File...) // appending is not measured
	src.Counts()
	step, appended := rows, 0
	for b.Loop() {
		text := runsourcetest.Lines(step, more)
		src.Mu.Lock()
		src.File, src.Touched = append(src.File, text...), src.Touched+1
		src.Mu.Unlock()
		step, appended = step+more, appended+len(text)
		if err := c.Read(b.Context(), runsourcetest.TheRun, src, use); err != nil {
			b.Fatal(err)
		}
	}
	_, served := src.Counts()
	b.ReportMetric(float64(served-int64(appended))/float64(b.N), "extraB/op")
}

// BenchmarkWarm reads an idle run.
func BenchmarkWarm(b *testing.B) {
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 10_000))}
	c := newTestCache(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Read(b.Context(), runsourcetest.TheRun, src, func(*View) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
