package runlog

import (
	"fmt"
	"testing"
)

// BenchmarkExtend asks for a run of a million rows after ten more lines.
func BenchmarkExtend(b *testing.B) {
	const rows, more = 1_000_000, 10
	src := &fileSource{file: []byte(lines(0, rows))}
	c := newTestCache(b, CacheConfig{MaxBytes: 1 << 30})
	use := func(v *View) error {
		if v.Table.Rows() < rows {
			return fmt.Errorf("%d rows", v.Table.Rows())
		}
		return nil
	}
	if err := c.Read(b.Context(), theRun, src, use); err != nil {
		b.Fatal(err)
	}
	src.file = append(make([]byte, 0, 2*len(src.file)), src.file...) // appending is not what is measured
	src.counts()
	step, appended := rows, 0
	for b.Loop() {
		text := lines(step, more)
		src.mu.Lock()
		src.file, src.touched = append(src.file, text...), src.touched+1
		src.mu.Unlock()
		step, appended = step+more, appended+len(text)
		if err := c.Read(b.Context(), theRun, src, use); err != nil {
			b.Fatal(err)
		}
	}
	_, served := src.counts()
	b.ReportMetric(float64(served-int64(appended))/float64(b.N), "extraB/op")
}

// BenchmarkWarm asks for an idle run.
func BenchmarkWarm(b *testing.B) {
	src := &fileSource{file: []byte(lines(0, 10_000))}
	c := newTestCache(b, CacheConfig{})
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Read(b.Context(), theRun, src, func(*View) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
