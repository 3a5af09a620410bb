package runlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// streamed is what a Stream gives out.
func streamed(tb testing.TB, src Source, selection eventlog.Selection) ([]point, StreamResult, error) {
	tb.Helper()
	var points []point
	done, err := Stream(tb.Context(), src, selection, func(series []eventlog.Series) error {
		n := 0
		for _, s := range series {
			n += s.Len()
			for i := range s.Steps {
				p := point{Name: s.Name, Step: s.Steps[i], Value: s.Values[i]}
				if len(s.Positions) > 0 {
					p.Position = s.Positions[i]
				}
				points = append(points, p)
			}
		}
		if n == 0 || n > batchPoints {
			tb.Errorf("a batch of %d points", n)
		}
		return nil
	})
	if err == nil && done.Points != int64(len(points)) {
		tb.Errorf("%d points are counted, %d were given out", done.Points, len(points))
	}
	return points, done, err
}

func TestStream(t *testing.T) {
	whole := strings.TrimSuffix(line(3, "3.125"), "\n")
	four := int64(4)
	tests := []struct {
		name      string
		src       *fileSource
		selection eventlog.Selection
		want      []point
		origin    Origin
	}{
		{"a log", &fileSource{file: []byte(lines(0, 20_000))}, eventlog.Selection{}, want(0, 20_000, 0), FromEventLog},
		{"a log where ranges are ignored", &fileSource{file: []byte(lines(0, 9)), whole: true}, eventlog.Selection{}, want(0, 9, 0), FromEventLog},
		{"selected steps", &fileSource{file: []byte(lines(0, 9))}, eventlog.Selection{MaxStep: &four}, want(0, 5, 0), FromEventLog},
		{"another metric", &fileSource{file: []byte(lines(0, 9))}, eventlog.Selection{Names: []string{"x"}}, nil, FromEventLog},
		{"no log yet", &fileSource{absent: true}, eventlog.Selection{}, nil, FromEventLog},
		{"an empty log", &fileSource{}, eventlog.Selection{}, nil, FromEventLog},
		{"a last line without newline of a run that goes on", &fileSource{file: []byte(lines(0, 3) + whole)}, eventlog.Selection{}, want(0, 3, 0), FromEventLog},
		{"the same of a run that has ended", &fileSource{file: []byte(lines(0, 3) + whole), ended: true}, eventlog.Selection{}, want(0, 4, 0), FromEventLog},
		{"a table", &fileSource{notServed: true, table: []eventlog.Row{rowOf(1, 5), rowOf(2, 6)}}, eventlog.Selection{}, []point{{Name: "a", Step: 1, Value: 5}, {Name: "a", Step: 2, Value: 6}}, FromMergedTable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, done, err := streamed(t, tt.src, tt.selection)
			if err != nil || done.Origin != tt.origin {
				t.Fatalf("%+v, error %v", done, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("points (-want +got):\n%.800s", diff)
			}
		})
	}
}

func TestStream_ReportsTruncatedInput(t *testing.T) {
	file := lines(0, 60)
	for cut := range len(file) {
		if _, _, err := streamed(t, &fileSource{file: []byte(file), cuts: []int{cut}}, eventlog.Selection{}); !errors.Is(err, errCut) {
			t.Fatalf("cut after %d of %d bytes: error %v", cut, len(file), err)
		}
	}
	errStop := errors.New("enough")
	_, err := Stream(t.Context(), &fileSource{file: []byte(lines(0, 20_000))}, eventlog.Selection{}, func([]eventlog.Series) error { return errStop })
	if !errors.Is(err, errStop) {
		t.Errorf("got error %v, want that of put", err)
	}
}

func TestStream_UsesConstantMemory(t *testing.T) {
	measure := func(n int) int64 {
		src := &fileSource{file: []byte(lines(0, n))}
		before, peak, batches := heap(), int64(0), 0
		if _, err := Stream(t.Context(), src, eventlog.Selection{}, func([]eventlog.Series) error {
			if batches++; batches%10 == 0 {
				peak = max(peak, heap()-before)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return peak
	}
	if small, large := measure(20_000), measure(80_000); large > small+2<<20 || large > 4<<20 {
		t.Errorf("%d KiB for 20,000 rows, %d KiB for 80,000", small>>10, large>>10)
	}
}

// TestFollow_LineLargerThanABatch resumes within it, at every position where a
// batch ends.
func TestFollow_LineLargerThanABatch(t *testing.T) {
	const cells = 3*batchPoints + 17
	var b strings.Builder
	b.WriteString(`{"type":"metrics","data":{"global_step":1`)
	for i := range cells {
		fmt.Fprintf(&b, `,"m%05d":%d`, i, i)
	}
	b.WriteString("}}\n")
	for _, around := range []int{3, 30_000} { // in the window, and in the history
		synctest.Test(t, func(t *testing.T) {
			src := newLiveSource(lines(0, 3) + b.String() + lines(3, around))
			h := newTestHub(t, HubConfig{})
			all := follow(t, h, src, Beginning(), UntilEnded)
			var positions []Position
			var counts []int
			for len(all.trace) == 0 {
				item, err := all.cursor.Next(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				all.record(item)
				positions, counts = append(positions, item.Position), append(counts, len(all.points))
			}
			if len(all.points) != 3+cells+around || len(positions) < 4 {
				t.Fatalf("%d points in %d batches", len(all.points), all.batches)
			}
			for i, at := range positions[1:min(5, len(positions))] {
				late := follow(t, newTestHub(t, HubConfig{}), src, at, UntilEnded)
				late.wait(3 * time.Second)
				if !slices.Equal(all.points[counts[i+1]:], late.points) {
					t.Fatalf("resumed at %+v: %d points, want %d", at, len(late.points), len(all.points)-counts[i+1])
				}
			}
		})
	}
}
