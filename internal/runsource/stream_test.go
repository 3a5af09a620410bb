package runsource_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// streamed collects what a Stream passes to put.
func streamed(tb testing.TB, src runsource.Source, selection eventlog.Selection) (points []runsourcetest.Point, from runsource.Origin, err error) {
	tb.Helper()
	_, err = runsource.Stream(tb.Context(), nil, src, selection, func(origin runsource.Origin, series []eventlog.Series) error {
		n := 0
		from = origin
		for _, s := range series {
			n += s.Len()
			for i := range s.Steps {
				p := runsourcetest.Point{Name: s.Name, Step: s.Steps[i], Value: s.Values[i]}
				if len(s.Positions) > 0 {
					p.Position = s.Positions[i]
				}
				points = append(points, p)
			}
		}
		if n == 0 || n > runsource.BatchPoints {
			tb.Errorf("a batch of %d points", n)
		}
		return nil
	})
	return points, from, err
}

func TestStream(t *testing.T) {
	whole := strings.TrimSuffix(runsourcetest.Line(3, "3.125"), "\n")
	four := int64(4)
	tests := []struct {
		name      string
		src       *runsourcetest.FileSource
		selection eventlog.Selection
		want      []runsourcetest.Point
		origin    runsource.Origin // of the points, 0 if there are none
	}{
		{"a log", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 20_000))}, eventlog.Selection{}, runsourcetest.Points(0, 20_000, 0), runsource.FromEventLog},
		{"a log where ranges are ignored", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 9)), Whole: true}, eventlog.Selection{}, runsourcetest.Points(0, 9, 0), runsource.FromEventLog},
		{"selected steps", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 9))}, eventlog.Selection{MaxStep: &four}, runsourcetest.Points(0, 5, 0), runsource.FromEventLog},
		{"another metric", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 9))}, eventlog.Selection{Names: []string{"x"}}, nil, 0},
		{"no log yet", &runsourcetest.FileSource{Absent: true}, eventlog.Selection{}, nil, 0},
		{"an empty log", &runsourcetest.FileSource{}, eventlog.Selection{}, nil, 0},
		{"a last line without newline of a run that continues", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 3) + whole)}, eventlog.Selection{}, runsourcetest.Points(0, 3, 0), runsource.FromEventLog},
		{"the same of a run that has ended", &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 3) + whole), Ended: true}, eventlog.Selection{}, runsourcetest.Points(0, 4, 0), runsource.FromEventLog},
		{"a table", &runsourcetest.FileSource{NotServed: true, Table: []eventlog.Row{runsourcetest.RowOf(1, 5), runsourcetest.RowOf(2, 6)}}, eventlog.Selection{}, []runsourcetest.Point{{Name: "a", Step: 1, Value: 5}, {Name: "a", Step: 2, Value: 6}}, runsource.FromMergedTable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, origin, err := streamed(t, tt.src, tt.selection)
			if err != nil || origin != tt.origin {
				t.Fatalf("from %v, error %v", origin, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("points (-want +got):\n%.800s", diff)
			}
		})
	}
}

func TestStream_ReportsTruncatedInput(t *testing.T) {
	file := runsourcetest.Lines(0, 60)
	for cut := range len(file) {
		if _, _, err := streamed(t, &runsourcetest.FileSource{File: []byte(file), Cuts: []int{cut}}, eventlog.Selection{}); !errors.Is(err, runsourcetest.ErrCut) {
			t.Fatalf("cut after %d of %d bytes: error %v", cut, len(file), err)
		}
	}
	errStop := errors.New("enough")
	_, err := runsource.Stream(t.Context(), nil, &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 20_000))}, eventlog.Selection{}, func(runsource.Origin, []eventlog.Series) error { return errStop })
	if !errors.Is(err, errStop) {
		t.Errorf("got error %v, want that of put", err)
	}
}

func TestStream_UsesConstantMemory(t *testing.T) {
	measure := func(n int) int64 {
		src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, n))}
		before, peak, batches := runsourcetest.Heap(), int64(0), 0
		if _, err := runsource.Stream(t.Context(), nil, src, eventlog.Selection{}, func(runsource.Origin, []eventlog.Series) error {
			if batches++; batches%10 == 0 {
				peak = max(peak, runsourcetest.Heap()-before)
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

// BenchmarkStream reads a history of a million rows.
func BenchmarkStream(b *testing.B) {
	src := &runsourcetest.FileSource{File: []byte(runsourcetest.Lines(0, 1_000_000))}
	b.SetBytes(int64(len(src.File)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := runsource.Stream(b.Context(), nil, src, eventlog.Selection{}, func(runsource.Origin, []eventlog.Series) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
