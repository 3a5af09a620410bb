package runcache

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestCache_ReadsTheWholeLog(t *testing.T) {
	const long = 2000 // number of lines, more than both ends of the checkpoint
	same := func(want map[int64]float64) func(map[int64]float64) map[int64]float64 {
		return func(map[int64]float64) map[int64]float64 { return want }
	}
	tests := []struct {
		name   string
		before string
		change func(*runsourcetest.FileSource)
		want   func(before map[int64]float64) map[int64]float64
	}{
		{"no change", runsourcetest.Lines(0, long), func(*runsourcetest.FileSource) {}, same(upTo(long))},
		{"lines were appended", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Lines(long, 3)) }, same(upTo(long + 3))},
		{"many lines were appended", runsourcetest.Lines(0, 10), func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Lines(10, 15_000)) }, same(upTo(15_010))},
		{"the first line came", "", func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Lines(0, 1)) }, same(upTo(1))},
		{"half a line was appended", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Line(long, "1")[:20]) }, same(upTo(long))},
		{"the other half was appended", runsourcetest.Lines(0, long) + runsourcetest.Line(long, "7.5")[:20], func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Line(long, "7.5")[20:]) }, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			want[long] = 7.5
			return want
		}},
		{"an old step was rewritten", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Line(5, "99")) }, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			want[5] = 99
			return want
		}},
		{"the log was cut short", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Replace(runsourcetest.Lines(0, 3)) }, same(upTo(3))},
		{"the log was emptied", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Replace("") }, same(upTo(0))},
		{"the log was removed", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) { s.Set(func() { s.Absent = true }) }, same(upTo(0))},
		{"the log was replaced by one of equal size", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) {
			s.Replace(strings.ReplaceAll(runsourcetest.Lines(0, long), ".125,", ".375,"))
		}, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			for step := range want {
				want[step] += 0.25
			}
			return want
		}},
		{"a line in the middle was rewritten in place", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) {
			s.Replace(strings.Replace(runsourcetest.Lines(0, long), " 1000.125,", " 1000.375,", 1))
		}, func(before map[int64]float64) map[int64]float64 {
			before[1000] += 0.25
			return before
		}},
		{"the log was replaced by a longer one", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) {
			s.Replace(runsourcetest.Line(7, "3") + strings.Repeat(runsourcetest.Line(8, "4"), long+5))
		}, same(map[int64]float64{7: 3, 8: 4})},
		{"the log was replaced by a longer one with the same end", runsourcetest.Lines(0, long), func(s *runsourcetest.FileSource) {
			s.Replace(strings.Replace(runsourcetest.Lines(0, long), " 0.125,", " 9.125,", 1) + runsourcetest.Lines(long, 1))
		}, func(map[int64]float64) map[int64]float64 {
			want := upTo(long + 1)
			want[0] = 9.125
			return want
		}},
	}
	for _, ranges := range []string{"ranges", "no ranges", "no etag"} {
		for _, tt := range tests {
			t.Run(tt.name+" with "+ranges, func(t *testing.T) {
				if ranges == "no etag" && strings.Contains(tt.name, "in place") {
					t.Skip("nothing but the ETag shows that")
				}
				src := &runsourcetest.FileSource{File: []byte(tt.before), Whole: ranges == "no ranges", NoETag: ranges == "no etag", Clock: runsourcetest.NewClock()}
				c := newTestCache(t, Config{})
				c.now = src.Clock.Now
				before, _ := read(t, c, src)
				tt.change(src)
				want := tt.want(maps.Clone(before))
				for range 2 { // the second read continues after the first
					got, view := read(t, c, src)
					if !maps.Equal(want, got) { // faster than cmp.Diff
						t.Fatalf("values (-want +got):\n%s", cmp.Diff(want, got))
					}
					if view.Origin != runsource.FromEventLog || view.MalformedLines != 0 {
						t.Fatalf("view %+v", view)
					}
				}
			})
		}
	}
}

func TestCache_RequestsOnlyAppendedBytes(t *testing.T) {
	const long = 5000
	tests := []struct {
		name     string
		change   func(*runsourcetest.FileSource)
		requests int
		appended int64
	}{
		{"a log at rest costs one small request", func(*runsourcetest.FileSource) {}, 1, 0},
		{"a log that grew costs one more for its head", func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Lines(long, 10)) }, 2, int64(len(runsourcetest.Lines(long, 10)))},
		{"an incomplete line is read again", func(s *runsourcetest.FileSource) { s.Append(runsourcetest.Line(long, "1")[:40]) }, 2, 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, long))}
			c := newTestCache(t, Config{})
			read(t, c, src)
			src.Counts()
			tt.change(src)
			read(t, c, src)
			requests, served := src.Counts()
			if requests != tt.requests || served > tt.appended+2*runsource.CheckpointBytes {
				t.Errorf("%d requests with %d bytes, want %d with at most %d", requests, served, tt.requests, tt.appended+2*runsource.CheckpointBytes)
			}
		})
	}
}

func TestCache_UnterminatedLastLine(t *testing.T) {
	whole := strings.TrimSuffix(runsourcetest.Line(3, "3.125"), "\n")
	tests := []struct {
		name  string
		rest  string
		ended bool
		then  string // appended after the first read
		want  int    // number of steps after the first read
		after int    // and after the second
		bad   uint64
	}{
		{"does not count while the run continues", whole, false, "", 3, 3, 0},
		{"counts when the run has ended", whole, true, "", 4, 4, 0},
		{"is one line even if its newline arrives later", whole, true, "\n" + runsourcetest.Line(4, "4.125"), 4, 5, 0},
		{"is taken back when it continues", whole, true, whole + "\n", 4, 3, 1},
		{"does not count when it is torn", whole[:30], true, "", 3, 3, 0},
		{"does not count when it is no object", "17", true, "", 3, 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 3) + tt.rest), Ended: tt.ended}
			c := newTestCache(t, Config{})
			if got, _ := read(t, c, src); len(got) != tt.want {
				t.Errorf("%d steps, want %d", len(got), tt.want)
			}
			src.Append(tt.then)
			got, view := read(t, c, src)
			if len(got) != tt.after || view.MalformedLines != tt.bad {
				t.Errorf("then %d steps and %d malformed lines, want %d and %d", len(got), view.MalformedLines, tt.after, tt.bad)
			}
			if isHalf := strings.HasPrefix(tt.name, "does not count when"); isHalf && src.StatusCalls > 0 {
				t.Errorf("the status was asked for %d times, which a half line does not need", src.StatusCalls)
			}
		})
	}
	t.Run("is a line as soon as the run has ended, without a new byte", func(t *testing.T) {
		for _, complete := range []bool{false, true} {
			src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 3) + whole), Whole: complete, Clock: runsourcetest.NewClock()}
			c := newTestCache(t, Config{})
			c.now = src.Clock.Now
			read(t, c, src)
			src.Set(func() { src.Ended = true })
			if got, _ := read(t, c, src); len(got) != 4 {
				t.Errorf("%d steps, want 4 (ranges ignored: %t)", len(got), complete)
			}
		}
	})
}

func TestCache_Failures(t *testing.T) {
	const n = 15_000
	t.Run("a truncated body is resumed", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, n)), Cuts: []int{1 << 20}}
		c := newTestCache(t, Config{})
		if got, _ := read(t, c, src); len(got) != n {
			t.Errorf("%d steps, want %d", len(got), n)
		}
		if _, served := src.Counts(); served > int64(len(src.File))+4*runsource.CheckpointBytes+200 {
			t.Errorf("%d bytes for a file of %d", served, len(src.File))
		}
	})
	t.Run("a body truncated without progress is an error, and the next read continues", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, n)), Cuts: []int{1 << 20, 30}}
		c := newTestCache(t, Config{})
		if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); !errors.Is(err, runsourcetest.ErrCut) {
			t.Fatalf("got error %v, want %v", err, runsourcetest.ErrCut)
		}
		src.Counts()
		if got, _ := read(t, c, src); len(got) != n {
			t.Errorf("%d steps, want %d", len(got), n)
		}
		if _, served := src.Counts(); served > int64(len(src.File))-1<<20+2*runsource.CheckpointBytes+200 {
			t.Errorf("%d bytes, although a MiB was there", served)
		}
	})
	t.Run("a deleted run is dropped, and may reappear", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 5))}
		c := newTestCache(t, Config{})
		read(t, c, src)
		src.Set(func() { src.Deleted = true })
		if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); !errors.Is(err, runsource.ErrRunNotFound) {
			t.Fatalf("got error %v, want %v", err, runsource.ErrRunNotFound)
		}
		if got := c.Stats(); got != (Stats{}) {
			t.Errorf("the cache still holds %+v", got)
		}
		src.Set(func() { src.Deleted = false })
		if got, _ := read(t, c, src); len(got) != 5 {
			t.Errorf("%d steps, want 5", len(got))
		}
	})
	t.Run("an oversized line is skipped while it grows, and reported", func(t *testing.T) {
		long := strings.Repeat("x", eventlog.MaxLine+2)
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 2) + long)}
		c := newTestCache(t, Config{})
		if got, view := read(t, c, src); len(got) != 2 || view.MalformedLines != 1 {
			t.Errorf("while it grows: %d steps, %+v", len(got), view.Counts)
		}
		src.Set(func() { src.File = append(src.File, long+"\n"+runsourcetest.Lines(2, 3)...) })
		got, view := read(t, c, src)
		want := fmt.Sprintf("[1 lines are longer than 16 MiB and were left out, the first at byte %d]", len(runsourcetest.Lines(0, 2)))
		if text := fmt.Sprint(view.Limitations()); len(got) != 5 || view.MalformedLines != 1 || text != want {
			t.Errorf("%d steps, %+v", len(got), view.Counts)
		}
	})
	t.Run("a run is empty until it has an event file", func(t *testing.T) {
		src := &runsourcetest.FileSource{Absent: true}
		c := newTestCache(t, Config{})
		if got, view := read(t, c, src); len(got) != 0 || view.Origin != runsource.FromEventLog || view.ReadTime.IsZero() {
			t.Errorf("got %v of %+v", got, view)
		}
		src.Append(runsourcetest.Lines(0, 2))
		if got, _ := read(t, c, src); len(got) != 2 {
			t.Errorf("%d steps, want 2", len(got))
		}
	})
	t.Run("the view has counts and the first time", func(t *testing.T) {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Line(3, "1") + "oops\n" + `{"type":"metrics","data":{"loss":1}}` + "\n" + runsourcetest.Line(1, "1"))}
		_, view := read(t, newTestCache(t, Config{}), src)
		if view.MalformedLines != 1 || view.LinesWithoutStep != 1 || view.FirstTime != 1_800_000_001.25 || !view.HasTime {
			t.Errorf("view %+v", view)
		}
	})
}

// FuzzExtension checks that a log read in any two pieces gives the same result as one read
// at once.
func FuzzExtension(f *testing.F) {
	f.Add([]byte(runsourcetest.Lines(0, 20)), uint16(700))
	f.Add([]byte(runsourcetest.Lines(0, 3)+"{torn\n\n"+runsourcetest.Line(2, "NaN")+"{\"half"), uint16(100))
	f.Fuzz(func(t *testing.T, file []byte, at uint16) {
		cut := min(int(at), len(file))
		src := &runsourcetest.FileSource{File: file[:cut:cut]}
		c := newTestCache(t, Config{})
		read(t, c, src)
		src.Append(string(file[cut:]))
		got, view := read(t, c, src)
		want, once := read(t, newTestCache(t, Config{}), &runsourcetest.FileSource{File: file})
		if fmt.Sprint(got) != fmt.Sprint(want) || view.MalformedLines != once.MalformedLines || view.LinesWithoutStep != once.LinesWithoutStep {
			t.Errorf("in two pieces %v %+v, at once %v %+v", got, view, want, once)
		}
	})
}
