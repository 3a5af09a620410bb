package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	runicornapiv1 "github.com/runicorn-grpc/runicorn-grpc/gen/runicornapi/v1"
)

// formats are the formats by file name extension.
var formats = map[string]runicornapiv1.ExportFormat{
	"parquet": runicornapiv1.ExportFormat_EXPORT_FORMAT_PARQUET,
	"arrow":   runicornapiv1.ExportFormat_EXPORT_FORMAT_ARROW_FILE,
	"csv":     runicornapiv1.ExportFormat_EXPORT_FORMAT_CSV,
	"jsonl":   runicornapiv1.ExportFormat_EXPORT_FORMAT_JSONL,
	"json":    runicornapiv1.ExportFormat_EXPORT_FORMAT_JSON,
	"zip":     runicornapiv1.ExportFormat_EXPORT_FORMAT_ZIP,
	"html":    runicornapiv1.ExportFormat_EXPORT_FORMAT_HTML,
	"md":      runicornapiv1.ExportFormat_EXPORT_FORMAT_MARKDOWN,
}

type exportCommand struct {
	Runs   []string `arg:"" name:"run" help:"${run}"`
	Output string   `short:"o" required:"" placeholder:"FILE" help:"File to write, or a folder, in which the server chooses the name."`
	Format string   `enum:"parquet,arrow,csv,jsonl,json,zip,html,md," default:"" placeholder:"FORMAT" help:"Format: parquet, arrow, csv, jsonl, json, zip, html or md. Default: the extension of FILE."`
	Metric []string `short:"m" sep:"none" placeholder:"NAME" help:"Only this metric; may be repeated."`
	Long   bool     `help:"Tables: one row for each point instead of one for each step."`
}

// Help is the end of the manual.
func (exportCommand) Help() string {
	return "A transfer that fails is resumed. The file is saved only when it is complete.\n\nExample: runicorn-grpc export vision/resnet -o resnet.parquet"
}

// Run saves experiments as one file.
func (c *exportCommand) Run(a *app) error {
	format, ok := formats[cmp.Or(c.Format, strings.TrimPrefix(filepath.Ext(c.Output), "."))]
	if !ok {
		return &UsageError{Err: fmt.Errorf("-o %s: the extension is not a format; set one with --format", c.Output)}
	}
	request := &runicornapiv1.ExportExperimentRequest{Format: format, MetricNames: c.Metric}
	if c.Long {
		request.Layout = runicornapiv1.ExportLayout_EXPORT_LAYOUT_LONG
	}
	for _, given := range c.Runs {
		e, err := a.find(given)
		if err != nil {
			return err
		}
		request.RunIds = append(request.RunIds, e.GetResourceName())
	}
	bar := newProgressBar(a.errOut)
	file, err := a.client.Export(a.ctx, request, c.Output, bar.show)
	bar.clear()
	if err != nil {
		return err
	}
	if a.JSON {
		return json.NewEncoder(a.out).Encode(map[string]any{
			"path": file.Path, "size_bytes": file.SizeBytes, "sha256": file.SHA256, "content_type": file.ContentType,
			"limitations": append([]string{}, file.Limitations...), "missing_files": append([]string{}, file.MissingFiles...),
		})
	}
	for _, sentence := range file.Limitations {
		a.note("%s", sentence)
	}
	for _, path := range file.MissingFiles {
		a.note("the Viewer has lost %s", path)
	}
	_, err = fmt.Fprintf(a.out, "%s  %s  sha256:%s\n", file.Path, formatBytes(file.SizeBytes), file.SHA256)
	return err
}

// progressBar is a line on a terminal that is overwritten.
type progressBar struct {
	to    io.Writer
	shown bool
	width int // columns of the terminal; 0 if unknown
	last  time.Time
}

// newProgressBar returns a bar that is shown only if w is a terminal.
func newProgressBar(w io.Writer) *progressBar {
	p := &progressBar{to: w, shown: isTerminal(w)}
	if file, ok := w.(*os.File); ok && p.shown {
		p.width, _, _ = term.GetSize(int(file.Fd())) // else 0
	}
	return p
}

const (
	barWidth    = 30
	barInterval = 100 * time.Millisecond
	clearLine   = "\r\x1b[K"
)

func (p *progressBar) show(done, total int64) {
	if now := time.Now(); p.shown && now.Sub(p.last) >= barInterval {
		p.last = now
		line := progress(done, total)
		if p.width > 0 && len(line) >= p.width { // a second line would not be cleared
			_, line, _ = strings.Cut(line, "] ")
			line = line[:min(len(line), p.width-1)]
		}
		fmt.Fprint(p.to, clearLine+line)
	}
}

// progress returns the text of a bar; without a total only the received bytes.
func progress(done, total int64) string {
	if total <= 0 {
		return formatBytes(done)
	}
	full := int(min(done, total) * barWidth / total)
	return fmt.Sprintf("[%s%s] %3d %%  %s of %s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/total, formatBytes(done), formatBytes(total))
}

func (p *progressBar) clear() {
	if !p.last.IsZero() {
		fmt.Fprint(p.to, clearLine)
	}
}
