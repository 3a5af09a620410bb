package runlog

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

func TestCache_ReadsTheWholeLog(t *testing.T) {
	const long = 2000 // lines, more than both ends of the checkpoint
	same := func(want map[int64]float64) func(map[int64]float64) map[int64]float64 {
		return func(map[int64]float64) map[int64]float64 { return want }
	}
	tests := []struct {
		name   string
		before string
		change func(*fileSource)
		want   func(before map[int64]float64) map[int64]float64
	}{
		{"nothing happened", lines(0, long), func(*fileSource) {}, same(upTo(long))},
		{"lines were appended", lines(0, long), func(s *fileSource) { s.append(lines(long, 3)) }, same(upTo(long + 3))},
		{"many lines were appended", lines(0, 10), func(s *fileSource) { s.append(lines(10, 15_000)) }, same(upTo(15_010))},
		{"the first line came", "", func(s *fileSource) { s.append(lines(0, 1)) }, same(upTo(1))},
		{"half a line was appended", lines(0, long), func(s *fileSource) { s.append(line(long, "1")[:20]) }, same(upTo(long))},
		{"the other half was appended", lines(0, long) + line(long, "7.5")[:20], func(s *fileSource) { s.append(line(long, "7.5")[20:]) }, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			want[long] = 7.5
			return want
		}},
		{"an old step was rewritten", lines(0, long), func(s *fileSource) { s.append(line(5, "99")) }, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			want[5] = 99
			return want
		}},
		{"the log was cut short", lines(0, long), func(s *fileSource) { s.replace(lines(0, 3)) }, same(upTo(3))},
		{"the log was emptied", lines(0, long), func(s *fileSource) { s.replace("") }, same(upTo(0))},
		{"the log was removed", lines(0, long), func(s *fileSource) { s.set(func() { s.absent = true }) }, same(upTo(0))},
		{"the log was replaced by one of equal size", lines(0, long), func(s *fileSource) {
			s.replace(strings.ReplaceAll(lines(0, long), ".125,", ".375,"))
		}, func(map[int64]float64) map[int64]float64 {
			want := upTo(long)
			for step := range want {
				want[step] += 0.25
			}
			return want
		}},
		{"a line in the middle was rewritten in place", lines(0, long), func(s *fileSource) {
			s.replace(strings.Replace(lines(0, long), " 1000.125,", " 1000.375,", 1))
		}, func(before map[int64]float64) map[int64]float64 {
			before[1000] += 0.25
			return before
		}},
		{"the log was replaced by a longer one", lines(0, long), func(s *fileSource) {
			s.replace(line(7, "3") + strings.Repeat(line(8, "4"), long+5))
		}, same(map[int64]float64{7: 3, 8: 4})},
		{"the log was replaced by a longer one with the same end", lines(0, long), func(s *fileSource) {
			s.replace(strings.Replace(lines(0, long), " 0.125,", " 9.125,", 1) + lines(long, 1))
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
				src := &fileSource{file: []byte(tt.before), whole: ranges == "no ranges", noETag: ranges == "no etag", clock: newClock()}
				c := newTestCache(t, CacheConfig{Now: src.clock.Now})
				before, _ := read(t, c, src)
				tt.change(src)
				want := tt.want(maps.Clone(before))
				for range 2 { // the second read goes on with what the first has left
					got, view := read(t, c, src)
					if !maps.Equal(want, got) { // which is quick
						t.Fatalf("values (-want +got):\n%s", cmp.Diff(want, got))
					}
					if view.Origin != FromEventLog || view.MalformedLines != 0 {
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
		change   func(*fileSource)
		requests int
		appended int64
	}{
		{"a log at rest costs one small request", func(*fileSource) {}, 1, 0},
		{"a log that grew costs one more for its head", func(s *fileSource) { s.append(lines(long, 10)) }, 2, int64(len(lines(long, 10)))},
		{"a half line is asked for again", func(s *fileSource) { s.append(line(long, "1")[:40]) }, 2, 40},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &fileSource{file: []byte(lines(0, long))}
			c := newTestCache(t, CacheConfig{})
			read(t, c, src)
			src.counts()
			tt.change(src)
			read(t, c, src)
			requests, served := src.counts()
			if requests != tt.requests || served > tt.appended+2*checkpointBytes {
				t.Errorf("%d requests with %d bytes, want %d with at most %d", requests, served, tt.requests, tt.appended+2*checkpointBytes)
			}
		})
	}
}

func TestCache_UnterminatedLastLine(t *testing.T) {
	whole := strings.TrimSuffix(line(3, "3.125"), "\n")
	tests := []struct {
		name  string
		rest  string
		ended bool
		then  string // appended after the first read
		want  int    // steps after the first read
		after int    // and after the second
		bad   uint64
	}{
		{"does not count while the run goes on", whole, false, "", 3, 3, 0},
		{"counts when the run has ended", whole, true, "", 4, 4, 0},
		{"counts once when its newline comes after all", whole, true, "\n" + line(4, "4.125"), 4, 5, 0},
		{"is taken back when it goes on", whole, true, whole + "\n", 4, 3, 1},
		{"does not count when it is torn", whole[:30], true, "", 3, 3, 0},
		{"does not count when it is no object", "17", true, "", 3, 3, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := &fileSource{file: []byte(lines(0, 3) + tt.rest), ended: tt.ended}
			c := newTestCache(t, CacheConfig{})
			if got, _ := read(t, c, src); len(got) != tt.want {
				t.Errorf("%d steps, want %d", len(got), tt.want)
			}
			src.append(tt.then)
			got, view := read(t, c, src)
			if len(got) != tt.after || view.MalformedLines != tt.bad {
				t.Errorf("then %d steps and %d malformed lines, want %d and %d", len(got), view.MalformedLines, tt.after, tt.bad)
			}
			if isHalf := strings.HasPrefix(tt.name, "does not count when"); isHalf && src.endedCalls > 0 {
				t.Errorf("the status was asked for %d times, which a half line does not need", src.endedCalls)
			}
		})
	}
	t.Run("counts as soon as the run has ended, without a new byte", func(t *testing.T) {
		for _, complete := range []bool{false, true} {
			src := &fileSource{file: []byte(lines(0, 3) + whole), whole: complete, clock: newClock()}
			c := newTestCache(t, CacheConfig{Now: src.clock.Now})
			read(t, c, src)
			src.set(func() { src.ended = true })
			if got, _ := read(t, c, src); len(got) != 4 {
				t.Errorf("%d steps, want 4 (ranges ignored: %t)", len(got), complete)
			}
		}
	})
}

func TestCache_Failures(t *testing.T) {
	const n = 15_000
	t.Run("a body that is cut is resumed where it ended", func(t *testing.T) {
		src := &fileSource{file: []byte(lines(0, n)), cuts: []int{1 << 20}}
		c := newTestCache(t, CacheConfig{})
		if got, _ := read(t, c, src); len(got) != n {
			t.Errorf("%d steps, want %d", len(got), n)
		}
		if _, served := src.counts(); served > int64(len(src.file))+4*checkpointBytes+200 {
			t.Errorf("%d bytes for a file of %d", served, len(src.file))
		}
	})
	t.Run("one that is cut without progress is an error, and the next read goes on", func(t *testing.T) {
		src := &fileSource{file: []byte(lines(0, n)), cuts: []int{1 << 20, 30}}
		c := newTestCache(t, CacheConfig{})
		if _, _, err := tryRead(t.Context(), c, theRun, src); !errors.Is(err, errCut) {
			t.Fatalf("got error %v, want %v", err, errCut)
		}
		src.counts()
		if got, _ := read(t, c, src); len(got) != n {
			t.Errorf("%d steps, want %d", len(got), n)
		}
		if _, served := src.counts(); served > int64(len(src.file))-1<<20+2*checkpointBytes+200 {
			t.Errorf("%d bytes, although a MiB was there", served)
		}
	})
	t.Run("a run that is gone is dropped, and may come back", func(t *testing.T) {
		src := &fileSource{file: []byte(lines(0, 5))}
		c := newTestCache(t, CacheConfig{})
		read(t, c, src)
		src.set(func() { src.deleted = true })
		if _, _, err := tryRead(t.Context(), c, theRun, src); !errors.Is(err, ErrRunNotFound) {
			t.Fatalf("got error %v, want %v", err, ErrRunNotFound)
		}
		if got := c.Stats(); got != (CacheStats{}) {
			t.Errorf("the cache still holds %+v", got)
		}
		src.set(func() { src.deleted = false })
		if got, _ := read(t, c, src); len(got) != 5 {
			t.Errorf("%d steps, want 5", len(got))
		}
	})
	t.Run("a line that is too long names its offset and is tried once", func(t *testing.T) {
		src := &fileSource{file: []byte(lines(0, 2) + strings.Repeat("x", eventlog.MaxLine+2))}
		c := newTestCache(t, CacheConfig{})
		_, _, err := tryRead(t.Context(), c, theRun, src)
		if e, ok := errors.AsType[*eventlog.LineTooLongError](err); !ok || e.Offset != int64(len(lines(0, 2))) {
			t.Errorf("got error %v", err)
		}
		if requests, _ := src.counts(); requests != 1 {
			t.Errorf("%d requests, want 1", requests)
		}
	})
	t.Run("a run without an event file is empty until there is one", func(t *testing.T) {
		src := &fileSource{absent: true}
		c := newTestCache(t, CacheConfig{})
		if got, view := read(t, c, src); len(got) != 0 || view.Origin != FromEventLog || view.ReadTime.IsZero() {
			t.Errorf("got %v of %+v", got, view)
		}
		src.append(lines(0, 2))
		if got, _ := read(t, c, src); len(got) != 2 {
			t.Errorf("%d steps, want 2", len(got))
		}
	})
	t.Run("counts and the first time come with the view", func(t *testing.T) {
		src := &fileSource{file: []byte(line(3, "1") + "oops\n" + `{"type":"metrics","data":{"loss":1}}` + "\n" + line(1, "1"))}
		_, view := read(t, newTestCache(t, CacheConfig{}), src)
		if view.MalformedLines != 1 || view.LinesWithoutStep != 1 || view.FirstTime != 1_800_000_001.25 || !view.HasTime {
			t.Errorf("view %+v", view)
		}
	})
}

// FuzzExtension: a log that is read in any two pieces says what it says when it
// is read at once.
func FuzzExtension(f *testing.F) {
	f.Add([]byte(lines(0, 20)), uint16(700))
	f.Add([]byte(lines(0, 3)+"{torn\n\n"+line(2, "NaN")+"{\"half"), uint16(100))
	f.Fuzz(func(t *testing.T, file []byte, at uint16) {
		cut := min(int(at), len(file))
		src := &fileSource{file: file[:cut:cut]}
		c := newTestCache(t, CacheConfig{})
		read(t, c, src)
		src.append(string(file[cut:]))
		got, view := read(t, c, src)
		want, once := read(t, newTestCache(t, CacheConfig{}), &fileSource{file: file})
		if fmt.Sprint(got) != fmt.Sprint(want) || view.MalformedLines != once.MalformedLines || view.LinesWithoutStep != once.LinesWithoutStep {
			t.Errorf("in two pieces %v %+v, at once %v %+v", got, view, want, once)
		}
	})
}
