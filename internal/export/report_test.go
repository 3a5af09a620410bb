package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// sampleReport is a report of the sample with an image, and one that is lost.
func sampleReport(t *testing.T) *Report {
	t.Helper()
	r, run := NewReport(1, nil), sampleRun()
	r.AddRun(run, sampleTable(t), eventlog.Selection{})
	there := Image{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("pixels")), nil }}
	there.Key, there.Path, there.Caption = "sample", "media/1.png", "a <cat>"
	missing := Image{Open: func() (io.ReadCloser, error) { return nil, nil }}
	missing.Key, missing.Path = "gone", "media/2.png"
	r.AddImages(run, []Image{there, missing})
	return r
}

func TestReports(t *testing.T) {
	var html, markdown bytes.Buffer
	if err := sampleReport(t).WriteHTML(&html, []string{"A limit."}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.html", html.Bytes())
	if err := sampleReport(t).WriteMarkdown(&markdown, []string{"A limit."}); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.md", markdown.Bytes())
	for _, bad := range []string{"<i>c</i>", "<cat>", "<50>"} {
		if strings.Contains(html.String(), bad) || strings.Contains(markdown.String(), bad) {
			t.Errorf("a report has %q unescaped", bad)
		}
	}
}

// TestImages_AreWrittenOnce logs one file a hundred times.
func TestImages_AreWrittenOnce(t *testing.T) {
	run, opened := sampleRun(), 0
	m := Image{Open: func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(strings.NewReader("pixels")), nil
	}}
	m.Key, m.Path = "sample", "media/1.png"
	images := slices.Repeat([]Image{m}, 100)
	r := NewReport(1, nil)
	r.AddRun(run, eventlog.NewTable(), eventlog.Selection{})
	r.AddImages(run, images)
	for name, write := range map[string]func(io.Writer) error{
		"HTML":     func(out io.Writer) error { return r.WriteHTML(out, nil) },
		"Markdown": func(out io.Writer) error { return r.WriteMarkdown(out, nil) },
		"JSON": func(out io.Writer) error {
			doc, err := NewDocument(out, nil)
			return errors.Join(err, doc.WriteRun(run, func(*Document) error { return nil }, images), doc.Close())
		},
	} {
		opened = 0
		var out strings.Builder
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(out.String(), "cGl4ZWxz"); n != 1 || opened != 1 {
			t.Errorf("%s has the image %d times, opened %d times", name, n, opened)
		}
		if name == "JSON" && (!json.Valid([]byte(out.String())) || strings.Count(out.String(), `"same_as":0`) != 99) {
			t.Errorf("the document is %.500s", out.String())
		}
	}
}

func TestReport_LimitsTheNumberOfPlots(t *testing.T) {
	table, row := eventlog.NewTable(), &eventlog.Row{Step: 1}
	for i := range maxPlots + 10 {
		row.Cells = append(row.Cells, number(fmt.Sprintf("m%04d", i), 1))
	}
	table.Put(row)
	table.Compact()
	r := NewReport(2, nil)
	for range 2 {
		r.AddRun(sampleRun(), table, eventlog.Selection{})
	}
	var out strings.Builder
	if err := r.WriteHTML(&out, r.Limitations()); err != nil {
		t.Fatal(err)
	}
	plots, sections := strings.Count(out.String(), "<svg"), strings.Count(out.String(), "<h2>m")
	if plots != maxPlots || sections != maxPlots+10 || !strings.Contains(out.String(), "Of 510 metrics 500 are plotted") {
		t.Errorf("%d plots of %d metrics, limitations %v", plots, sections, r.Limitations())
	}
}

func number(name string, v float64) eventlog.Cell {
	return eventlog.Cell{Name: name, Kind: eventlog.KindNumber, Number: v}
}

func TestReport_FailsIfAnImageFails(t *testing.T) {
	r, run, cut := NewReport(1, nil), sampleRun(), errors.New("cut")
	r.AddRun(run, eventlog.NewTable(), eventlog.Selection{})
	r.AddImages(run, []Image{{Open: func() (io.ReadCloser, error) { return io.NopCloser(broken{cut}), nil }}})
	for _, write := range []func(io.Writer, []string) error{r.WriteHTML, r.WriteMarkdown} {
		if err := write(io.Discard, nil); !errors.Is(err, cut) {
			t.Errorf("got %v, want %v", err, cut)
		}
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestFigure_PlotsAnyFloat64 wants an end, and no NaN in what is drawn.
func TestFigure_PlotsAnyFloat64(t *testing.T) {
	tiny, huge := math.SmallestNonzeroFloat64, math.MaxFloat64
	for name, values := range map[string][]float64{
		"one point": {1}, "all equal": {3, 3, 3}, "zeros": {0, 0}, "tiny": {tiny, 0, -tiny}, "huge": {huge, -huge, 1},
		"near the bound": {maxPlotted, -maxPlotted}, "a hair apart": {1e18, math.Nextafter(1e18, 2e18)},
		"gaps": {1, math.NaN(), 2, 3, math.Inf(1), 4}, "1e16": {1e16, 1e16 + 2},
	} {
		for _, step := range []int64{0, 1 << 53, math.MaxInt64 - 10, math.MinInt64} {
			t.Run(fmt.Sprintf("%s at %d", name, step), func(t *testing.T) {
				c := curve{run: sampleRun(), values: values}
				for i := range values {
					c.steps = append(c.steps, step+int64(i))
				}
				svg, err := (&figure{metric: name, lines: []curve{c}}).svg()
				if err != nil || svg == nil {
					t.Fatalf("svg: %v, %d bytes", err, len(svg))
				}
				if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
					t.Errorf("what is drawn is not finite:\n%s", svg)
				}
			})
		}
	}
}

func FuzzTicks(f *testing.F) {
	f.Add(0.0, 1.0)
	f.Add(-1e300, 1e300)
	f.Add(1e18, 1e18+256)
	f.Fuzz(func(t *testing.T, low, high float64) {
		if !(low < high) || !isPlottable(low) || !isPlottable(high) {
			t.Skip()
		}
		all := ticks{}.Ticks(low, high)
		if len(all) > 4*wantedTicks {
			t.Errorf("%d ticks", len(all))
		}
		for i, tick := range all {
			if i > 0 && tick.Value <= all[i-1].Value && high-low > 1e-9*math.Max(math.Abs(low), math.Abs(high)) {
				t.Errorf("tick %v after %v", tick.Value, all[i-1].Value)
			}
		}
	})
}
