package export

import "github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"

// The limitations of the formats, one sentence each.
const (
	mergedSource      = "A Viewer of 0.5 has only one value per step and metric: rewritten values are lost, and NaN and ±Inf look like values that were never logged."
	wideLayout        = "The wide layout has one value per step and metric, the last one written, and no times; the long layout has every point with its time."
	csvKinds          = "CSV does not have the kind of a value: a text \"1\" or \"true\" looks like the number or the boolean, and an empty text like no value."
	jsonlNested       = "Lists and objects that were logged as values are left out, as the Viewer leaves them out."
	jsonMerged        = "Series are merged: one value per step and metric, the last one written; JSON Lines have every point."
	csvText           = "Texts that spreadsheets take for formulas begin with an apostrophe, and control characters are replaced by U+FFFD."
	reportText        = "Control characters are replaced by U+FFFD."
	reportDownsampled = "Curves are downsampled to what a plot can show, extremes kept; CSV, Arrow, Parquet and JSON have all values."
	longExact         = "Integers that a 64-bit float rounds are in full in the column \"exact\"."
	wideExact         = "Integers that a 64-bit float rounds are in full in the columns that end in \"#exact\"."
	wideKinds         = "Metrics of several kinds have a column for each; those that are not numbers end in \"#boolean\" or \"#text\"."
)

// Limitations returns the limitations of a file of the runs. Schema is that of a wide
// table, nil for other files.
func Limitations(f Format, l Layout, runs []*Run, schema *Schema) []string {
	var out []string
	for _, r := range runs {
		if r.Merged {
			out = append(out, mergedSource)
			break
		}
	}
	switch f {
	case JSON:
		return append(out, jsonMerged)
	case JSONLines:
		return append(out, jsonlNested)
	case Markdown, HTML:
		return append(out, reportDownsampled, reportText)
	case ZIP:
		return out
	}
	if l == Wide {
		out = append(out, wideLayout)
	}
	if f == CSV {
		out = append(out, csvText)
	}
	switch {
	case f == CSV && (schema == nil || schema.hasKindsBesideNumbers()):
		out = append(out, csvKinds)
	case f == CSV:
	case l == Long:
		out = append(out, longExact)
	case schema != nil:
		out = append(out, schema.notes()...)
	}
	return out
}

// hasKindsBesideNumbers reports whether the schema has values whose kind is lost in CSV.
func (s *Schema) hasKindsBesideNumbers() bool {
	for _, m := range s.metrics {
		if m.has[eventlog.KindText] || m.has[eventlog.KindBoolean] {
			return true
		}
	}
	return false
}

// notes returns how a metric is spread over several typed columns.
func (s *Schema) notes() []string {
	var out []string
	mixed, exact := false, false
	for _, m := range s.metrics {
		mixed = mixed || m.kinds() > 1
		exact = exact || m.exact
	}
	if exact {
		out = append(out, wideExact)
	}
	if mixed {
		out = append(out, wideKinds)
	}
	return out
}
