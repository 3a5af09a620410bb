package runcache

import (
	"errors"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// summary returns the stat of loss from the digest of the run, or its table.
func summary(t *testing.T, c *Cache, src runsource.Source) (stat eventlog.Stat, isDigest bool) {
	t.Helper()
	err := c.ReadAny(t.Context(), runsourcetest.TheRun, src, func(v *View) error {
		stats := v.Summary().Stats(eventlog.Selection{Names: []string{"loss"}})
		if len(stats) != 1 || v.Summary().Rows() < stats[0].Count {
			t.Errorf("%d rows, %+v", v.Summary().Rows(), stats)
			return nil
		}
		stat, isDigest = stats[0], v.Table == nil
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return stat, isDigest
}

func TestCache_FoldsLargeRuns(t *testing.T) {
	const rows, maxBytes = 20_000, 200 << 10
	lines := runsourcetest.Lines
	wantSummary := func(t *testing.T, c *Cache, src runsource.Source, count int, lowest float64) {
		t.Helper()
		stat, isDigest := summary(t, c, src)
		if !isDigest || stat.Count != count || stat.LastStep != int64(count-1) || stat.Min != lowest {
			t.Errorf("digest: %t, %+v; want %d points from %v", isDigest, stat, count, lowest)
		}
		if got := c.Stats(); got.Runs != 1 || got.Bytes > maxBytes {
			t.Errorf("the cache holds %+v", got)
		}
	}
	t.Run("are read once, then only appended bytes are", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(lines(0, rows))}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		wantSummary(t, c, src, rows, 0.125)
		src.Counts()
		src.Append(lines(rows, 10))
		wantSummary(t, c, src, rows+10, 0.125)
		wantSummary(t, c, src, rows+10, 0.125)
		if _, served := src.Counts(); served > int64(len(lines(rows, 10)))+4*runsource.CheckpointBytes {
			t.Errorf("%d bytes were read of an appended %d", served, len(lines(rows, 10)))
		}
	})
	t.Run("are read again correctly if an old step is rewritten", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(lines(0, rows))}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		wantSummary(t, c, src, rows, 0.125)
		src.Append(`{"ts":1,"type":"metrics","data":{"loss":-7,"global_step":3}}` + "\n")
		wantSummary(t, c, src, rows, -7)
		src.Append(lines(rows, 5))
		src.Counts()
		wantSummary(t, c, src, rows+5, -7)
		if _, served := src.Counts(); served > 8<<10 {
			t.Errorf("%d bytes were read", served)
		}
	})
	t.Run("serve all points on request, and stay folded", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(lines(0, rows))}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		for range 2 {
			if got, _ := read(t, c, src); len(got) != rows {
				t.Errorf("%d points", len(got))
			}
			wantSummary(t, c, src, rows, 0.125)
		}
	})
	t.Run("may end without a newline", func(t *testing.T) {
		text := lines(0, rows)
		src := &runsourcetest.FileSource{File: []byte(text[:len(text)-1]), Ended: true}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		wantSummary(t, c, src, rows, 0.125)
	})
	t.Run("are detected as replaced", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(lines(0, rows))}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		wantSummary(t, c, src, rows, 0.125)
		src.Set(func() { src.File, src.Touched = []byte(lines(0, 10)), src.Touched+1 })
		if stat, isDigest := summary(t, c, src); isDigest || stat.Count != 10 {
			t.Errorf("digest: %t, %+v", isDigest, stat)
		}
	})
	t.Run("may be merged tables", func(t *testing.T) {
		src := &runsourcetest.FileSource{NotServed: true}
		for step := range rows {
			src.Table = append(src.Table, eventlog.Row{Position: -1, Step: int64(step), Cells: []eventlog.Cell{{Name: "loss", Kind: eventlog.KindNumber, Number: float64(step)}}})
		}
		c := newTestCache(t, Config{MaxBytes: maxBytes})
		wantSummary(t, c, src, rows, 0)
		if got, _ := read(t, c, src); len(got) != rows {
			t.Errorf("%d points", len(got))
		}
	})
	t.Run("return ErrClosed for the table after Close", func(t *testing.T) {
		c := New(Config{MaxBytes: maxBytes})
		c.Close()
		if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, &runsourcetest.FileSource{}); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v", err)
		}
	})
}

// BenchmarkLargeRun reads the summary of a run that does not fit the cache after ten more
// lines.
func BenchmarkLargeRun(b *testing.B) {
	const rows, more = 1_000_000, 10
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, rows))}
	src.File = append(make([]byte, 0, 2*len(src.File)), src.File...) // appending is not measured
	c := newTestCache(b, Config{MaxBytes: 16 << 20})
	step := rows
	use := func(v *View) error {
		if v.Table != nil || v.Summary().Stats(eventlog.Selection{})[0].Count != step {
			return errors.New("this is no digest of all")
		}
		return nil
	}
	if err := c.ReadAny(b.Context(), runsourcetest.TheRun, src, use); err != nil {
		b.Fatal(err)
	}
	src.Counts()
	appended := 0
	for b.Loop() {
		text := runsourcetest.Lines(step, more)
		src.Mu.Lock()
		src.File, src.Touched = append(src.File, text...), src.Touched+1
		src.Mu.Unlock()
		step, appended = step+more, appended+len(text)
		if err := c.ReadAny(b.Context(), runsourcetest.TheRun, src, use); err != nil {
			b.Fatal(err)
		}
	}
	_, served := src.Counts()
	b.ReportMetric(float64(served-int64(appended))/float64(b.N), "extraB/op")
}
