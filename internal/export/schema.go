package export

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// ErrSchemaChanged reports that a run has gained a column since it was added to the
// Schema. The caller has to start again with a new Schema.
var ErrSchemaChanged = errors.New("the run has gained metrics since the export began")

// The columns that are not metrics. Only a file of several runs has the last two.
const (
	titleStep   = "step"
	titleViewer = "viewer"
	titleRun    = "run_id"
)

// Schema is the columns of a wide table: those of all runs that were added.
type Schema struct {
	multiRun     bool
	metrics      map[string]*metric
	rows, points int // of all runs
}

// metric is what the columns of one metric have to hold.
type metric struct {
	has   [eventlog.KindText + 1]bool // by kind
	exact bool                        // some integers are not exact as a double
}

func (m *metric) kinds() int {
	n := 0
	for _, has := range m.has {
		if has {
			n++
		}
	}
	return n
}

// NewSchema returns a schema without metrics. In a file of several runs every row names
// its run.
func NewSchema(multiRun bool) *Schema {
	return &Schema{multiRun: multiRun, metrics: map[string]*metric{}}
}

// Add adds the columns of a run. A metric for which a merged table has only cells without
// a value gets an empty column.
func (s *Schema) Add(t *eventlog.Table, sel eventlog.Selection) {
	for _, name := range t.Names(sel) {
		if s.metrics[name] == nil {
			s.metrics[name] = &metric{}
		}
	}
	for w := range windows(t, sel, windowRows) {
		s.rows += len(w.steps)
		for i := range w.series {
			m := s.metrics[w.series[i].Name]
			m.has[w.series[i].Kind] = true
			m.exact = m.exact || len(w.series[i].Exact) > 0
			s.points += w.series[i].Len()
		}
	}
}

const (
	// maxWindowCells is the maximum number of cells of a window. It bounds memory: a
	// batch of typed columns has space for every cell, with or without a value.
	maxWindowCells = 2 << 20
	// maxSparseCells is the maximum number of cells of a wide table in which fewer than
	// one cell in sparseRatio has a value.
	maxSparseCells = 16 << 20
	sparseRatio    = 16
)

// windowRows returns how many rows of the table are written together.
func (s *Schema) windowRows() int {
	return max(1, min(windowRows, maxWindowCells/(len(s.metrics)+1)))
}

// SparseError is the error for a wide table that would be very large and almost empty.
type SparseError struct{ Columns, Rows, Points int }

// Error has the numbers.
func (e *SparseError) Error() string {
	return fmt.Sprintf("a wide table of %d columns and %d rows would have only %d values", e.Columns, e.Rows, e.Points)
}

// CheckSize returns a SparseError if the table is too large for its number of values.
func (s *Schema) CheckSize() error {
	if cells := s.rows * len(s.metrics); cells <= maxSparseCells || s.points >= cells/sparseRatio {
		return nil
	}
	return &SparseError{Columns: len(s.metrics), Rows: s.rows, Points: s.points}
}

// check compares the columns of a window with those of Add.
func (s *Schema) check(w *window) error {
	for i := range w.series {
		m := s.metrics[w.series[i].Name]
		if m == nil || !m.has[w.series[i].Kind] || len(w.series[i].Exact) > 0 && !m.exact {
			return ErrSchemaChanged
		}
	}
	return nil
}

// column is one typed column of metrics.
type column struct {
	title string
	name  string
	kind  eventlog.Kind
	exact bool // the digits of integers, instead of the values
}

// identity returns the titles of the columns before the metrics.
func (s *Schema) identity() []string {
	if s.multiRun {
		return []string{titleViewer, titleRun, titleStep}
	}
	return []string{titleStep}
}

// names returns the metrics in the order of their columns.
func (s *Schema) names() []string { return slices.Sorted(maps.Keys(s.metrics)) }

// uniqueTitles maps the metrics to valid column titles, which text makes, that differ
// from each other and from the titles of other columns.
func (s *Schema) uniqueTitles(text func(string) string) (titles map[string]string, used map[string]bool) {
	titles, used = map[string]string{}, map[string]bool{}
	for _, title := range s.identity() {
		used[title] = true
	}
	for _, name := range s.names() {
		titles[name] = unique(used, text(strings.ToValidUTF8(name, "\uFFFD")))
	}
	return titles, used
}

func unique(used map[string]bool, title string) string {
	for used[title] {
		title += "#"
	}
	used[title] = true
	return title
}

// columns returns the typed columns. A metric with one kind keeps its name; one with
// several kinds keeps it for its numbers. Further columns have a suffix.
func (s *Schema) columns() []column {
	titles, used := s.uniqueTitles(func(name string) string { return name })
	var out []column
	for _, name := range s.names() {
		m := s.metrics[name]
		named := false
		for kind := eventlog.KindNumber; kind <= eventlog.KindText; kind++ {
			switch {
			case !m.has[kind] && (m.kinds() > 0 || kind != eventlog.KindNumber):
				continue
			case !named:
				out = append(out, column{title: titles[name], name: name, kind: kind})
				named = true
			default:
				out = append(out, column{title: unique(used, titles[name]+"#"+kindNames[kind]), name: name, kind: kind})
			}
			if kind == eventlog.KindNumber && m.exact {
				out = append(out, column{title: unique(used, titles[name]+"#exact"), name: name, kind: kind, exact: true})
			}
		}
	}
	return out
}
