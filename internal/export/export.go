// Package export writes experiments and their series to files: tables in CSV, Arrow and
// Parquet, JSON, JSON Lines, zips, and reports.
//
// It depends on the rows and tables of eventlog and the libraries of its formats. It must
// not know where runs come from (Viewers, HTTP, restclient) nor where files go (gRPC): it
// reads what it is given and writes to an io.Writer.
//
// There are two kinds of writers. Points writes rows in the order of logging, in memory
// that does not grow with the run. The others read the merged eventlog.Table: a Schema
// collects the columns, then Wide writes the table window by window, without a copy of
// the table. A Report keeps only downsampled copies. Every writer has a Close that
// completes the file; without it the file is invalid.
package export

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Format is a kind of file.
type Format uint8

// The formats.
const (
	JSON Format = iota + 1
	CSV
	JSONLines
	Arrow
	Parquet
	ZIP
	Markdown
	HTML
	// ArrowFile is Arrow with an index at its end, also called Feather V2.
	ArrowFile
)

// Layout is the arrangement of metrics in a table.
type Layout uint8

// The layouts.
const (
	// Wide is merged: one row per step, a column per metric.
	Wide Layout = iota + 1
	// Long is one row per point.
	Long
)

// kinds maps the formats to media types and extensions.
var kinds = map[Format]struct{ contentType, extension string }{
	JSON:      {"application/json", "json"},
	CSV:       {"text/csv; charset=utf-8", "csv"},
	JSONLines: {"application/x-ndjson", "jsonl"},
	Arrow:     {"application/vnd.apache.arrow.stream", "arrows"},
	Parquet:   {"application/vnd.apache.parquet", "parquet"},
	ZIP:       {"application/zip", "zip"},
	Markdown:  {"text/markdown; charset=utf-8", "md"},
	HTML:      {"text/html; charset=utf-8", "html"},
	ArrowFile: {"application/vnd.apache.arrow.file", "arrow"},
}

// ContentType is the media type of the format.
func (f Format) ContentType() string { return kinds[f].contentType }

// Run is what a file contains of a run besides its metrics.
type Run struct {
	// Viewer is the name of the run's Viewer, and ID its id there.
	Viewer, ID string
	// Project and Name were chosen by the user; either may be empty.
	Project, Name string
	// Merged is set if the Viewer has only a merged table of the run.
	Merged bool
	// Experiment and Environment are JSON objects for a JSON file; an empty one becomes
	// null.
	Experiment, Environment []byte
	// Fields, Summary and EnvironmentFields are for reports.
	Fields, Summary, EnvironmentFields []Field
}

// Field is one line of a report's tables.
type Field struct{ Label, Value string }

// label returns the name of the run in a report.
func (r *Run) label() string {
	if r.Name == "" {
		return r.ID
	}
	return r.Name + " · " + r.ID
}

// maxFileName is the maximum length in bytes of a file name without its extension. File
// systems allow 255, and some need a part of that themselves.
const maxFileName = 180

// FileName returns a file name for the runs: project-name-runid.ext, without characters
// that are special to a file system or a shell.
func (f Format) FileName(runs []*Run) string {
	name := "runicorn-" + strconv.Itoa(len(runs)) + "-experiments"
	if len(runs) == 1 {
		r := runs[0]
		parts := slices.DeleteFunc([]string{sanitize(r.Project), sanitize(r.Name)}, func(s string) bool { return s == "" })
		name = truncate(strings.Join(append(parts, ""), "-"), maxFileName-len(r.ID)) + sanitize(r.ID)
	}
	return name + "." + kinds[f].extension
}

// sanitize keeps letters, digits, dots, underscores and single dashes. It removes dots
// and dashes at both ends, so that the name is neither a hidden file nor an option of a
// command.
func sanitize(text string) string {
	var b strings.Builder
	dash := false
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) && r != '.' && r != '_' {
			dash = true
			continue
		}
		if dash && b.Len() > 0 {
			b.WriteByte('-')
		}
		dash = false
		b.WriteRune(r)
	}
	return strings.Trim(b.String(), ".-")
}

// truncate shortens a valid UTF-8 text to at most n bytes, at the end of a rune.
func truncate(text string, n int) string {
	return strings.ToValidUTF8(text[:max(0, min(n, len(text)))], "")
}

// kindNames are the names of kinds in files.
var kindNames = map[eventlog.Kind]string{
	eventlog.KindNumber:  "number",
	eventlog.KindBoolean: "boolean",
	eventlog.KindText:    "text",
}
