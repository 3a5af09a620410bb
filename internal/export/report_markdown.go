package export

import (
	"encoding/base64"
	"io"
	"strconv"
	"strings"
)

// WriteMarkdown writes the report as Markdown. Its plots are data URLs, which editors and
// converters show; some web pages that render Markdown leave them out.
func (r *Report) WriteMarkdown(out io.Writer, limitations []string) error {
	w := &markdown{newTextFile(out)}
	w.write("# ", markdownText(r.title()), "\n")
	for _, run := range r.runs {
		w.write("\n## ", markdownText(run.ID), "\n")
		w.fields("", run.Fields)
		w.fields("Summary", run.Summary)
		w.fields("Environment", run.EnvironmentFields)
	}
	for i, limitation := range limitations {
		if i == 0 {
			w.write("\n")
		}
		w.write("> ", markdownText(limitation), "  \n")
	}
	for _, metric := range r.metrics() {
		if err := r.compute.do(func() error { return r.markdownMetric(w, metric) }); err != nil {
			return err
		}
	}
	for _, run := range r.runs {
		written := firsts{}
		for i := range r.images[run] {
			m := &r.images[run][i]
			if first := written.see(m, i); first != i {
				w.write("\n", markdownText(imageCaption(run, m)), ": the same image as ", markdownText(imageCaption(run, &r.images[run][first])), "\n")
				continue
			}
			if err := w.image(run, m); err != nil {
				return err
			}
		}
	}
	return w.Close()
}

// markdown is a Markdown file.
type markdown struct{ textFile }

func (w *markdown) fields(title string, fields []Field) {
	if len(fields) == 0 {
		return
	}
	if title != "" {
		w.write("\n### ", title, "\n")
	}
	w.table([]string{"", ""}, func(row func(...string)) {
		for _, f := range fields {
			row(f.Label, f.Value)
		}
	})
}

// table writes a table whose rows come from fill.
func (w *markdown) table(titles []string, fill func(row func(...string))) {
	row := func(cells ...string) {
		for _, cell := range cells {
			w.write("| ", markdownText(cell), " ")
		}
		w.write("|\n")
	}
	w.write("\n")
	row(titles...)
	w.write(strings.Repeat("|---", len(titles)), "|\n")
	fill(row)
}

func (r *Report) markdownMetric(w *markdown, metric string) error {
	svg, err := r.plot(metric)
	if err != nil {
		return err
	}
	w.write("\n## ", markdownText(metric), "\n")
	if svg != nil {
		w.write("\n![", markdownText(metric), " by step](data:image/svg+xml;base64,",
			base64.StdEncoding.EncodeToString(svg), ")\n")
	}
	if note := r.note(metric, svg != nil); note != "" {
		w.write("\n", note, "\n")
	}
	w.table(statHeader, func(row func(...string)) {
		for _, cells := range r.rows(metric) {
			row(cells...)
		}
	})
	return nil
}

func (w *markdown) image(run *Run, m *Image) error {
	caption := markdownText(imageCaption(run, m))
	return m.embed(w, "\n!["+caption+"](data:"+m.contentType()+";base64,", ")\n\n"+caption+"\n",
		"\n"+caption+": the image's file is lost.\n")
}

// imageCaption returns the caption of an image.
func imageCaption(run *Run, m *Image) string {
	text := m.Key
	if m.HasStep {
		text += ", step " + strconv.FormatInt(m.Step, 10)
	}
	if m.Caption != "" {
		text += ": " + m.Caption
	}
	return text + " (" + run.label() + ")"
}

// markdownEscaper escapes the characters that are special in Markdown. A line break would
// end a table row.
var markdownEscaper = strings.NewReplacer(
	"\\", "\\\\", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "|", "\\|", "#", "\\#", "!", "\\!",
	"~", "\\~", "$", "\\$", "<", "&lt;", ">", "&gt;", "&", "&amp;", "\r\n", " ", "\n", " ", "\r", " ",
)

// markdownText escapes a text.
func markdownText(text string) string {
	return markdownEscaper.Replace(visible(text))
}
