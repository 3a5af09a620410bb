package export

import (
	"bufio"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
)

//go:embed report.html.tmpl
var htmlSource string

// htmlTemplates are the parts of the page. html/template escapes the content of runs for
// its context.
var htmlTemplates = template.Must(template.New("").Funcs(template.FuncMap{"visible": visible}).Parse(htmlSource))

// htmlSection is one metric of the page.
type htmlSection struct {
	Metric string
	SVG    template.HTML
	Note   string
	Titles []string
	Rows   [][]string
}

// htmlImage is an image of the page, without its content.
type htmlImage struct {
	ID      string
	Source  template.URL
	Caption string
}

// WriteHTML writes the report as one page without external resources.
func (r *Report) WriteHTML(out io.Writer, limitations []string) error {
	w := bufio.NewWriterSize(out, bufferSize)
	err := htmlTemplates.ExecuteTemplate(w, "head", map[string]any{
		"Title": r.title(), "Runs": r.runs, "Limitations": limitations, "HasMetrics": len(r.stats) > 0,
	})
	if err != nil {
		return fmt.Errorf("write a report: %w", err)
	}
	for _, metric := range r.metrics() {
		if err := r.compute.do(func() error { return r.htmlMetric(w, metric) }); err != nil {
			return err
		}
	}
	for n, run := range r.runs {
		written := firsts{}
		for i := range r.images[run] {
			m := &r.images[run][i]
			first := written.see(m, i)
			data := htmlImage{
				ID:      fmt.Sprintf("image-%d-%d", n, first),
				Source:  template.URL("data:" + m.contentType() + contentMark), //nolint:gosec // from our table
				Caption: visible(imageCaption(run, m)),
			}
			if first != i {
				if err := htmlTemplates.ExecuteTemplate(w, "again", data); err != nil {
					return fmt.Errorf("write an image: %w", err)
				}
				continue
			}
			if err := htmlImageOf(w, m, data); err != nil {
				return err
			}
		}
	}
	if err := htmlTemplates.ExecuteTemplate(w, "tail", nil); err != nil {
		return fmt.Errorf("write a report: %w", err)
	}
	return w.Flush()
}

func (r *Report) htmlMetric(w io.Writer, metric string) error {
	svg, err := r.plot(metric)
	if err != nil {
		return err
	}
	section := htmlSection{
		Metric: metric, SVG: template.HTML(svg), //nolint:gosec // drawn by us, its texts escaped
		Note: r.note(metric, svg != nil), Titles: statHeader, Rows: r.rows(metric),
	}
	if err := htmlTemplates.ExecuteTemplate(w, "metric", section); err != nil {
		return fmt.Errorf("write %s: %w", metric, err)
	}
	return nil
}

// htmlImageOf writes an image with its content into the page. The template makes the text
// before and after the content, which is streamed.
func htmlImageOf(w *bufio.Writer, m *Image, data htmlImage) error {
	var page, missing strings.Builder
	if err := htmlTemplates.ExecuteTemplate(&page, "image", data); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	if err := htmlTemplates.ExecuteTemplate(&missing, "lost", data); err != nil {
		return fmt.Errorf("write an image: %w", err)
	}
	// A quote in the caption is escaped, so contentMark with a quote occurs once.
	before, after, _ := strings.Cut(page.String(), contentMark+`"`)
	return m.embed(w, before+contentMark, `"`+after, missing.String())
}

// contentMark precedes the content of an image.
const contentMark = ";base64,"
