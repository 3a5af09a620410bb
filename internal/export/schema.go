package export

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// ErrSchemaChanged says that a run has grown a column since the Schema took it in:
// begin again, with a new Schema.
var ErrSchemaChanged = errors.New("the run has metrics that were not there a moment ago")

// The columns that are not metrics. The last two are there if a file holds
// several runs.
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

// metric is what the columns of one name have to hold.
type metric struct {
	has   [eventlog.KindText + 1]bool // by kind
	exact bool                        // some integers are beyond a double
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

// NewSchema returns a schema without metrics. In a file of several runs every
// row says whose it is.
func NewSchema(multiRun bool) *Schema {
	return &Schema{multiRun: multiRun, metrics: map[string]*metric{}}
}

// Add takes in the columns of a run. A metric of which a merged table knows
// only cells without a value has a column too, an empty one.
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
	// maxWindowCells bounds the memory of a window: a batch of typed columns has a
	// value for each cell, or room for one.
	maxWindowCells = 2 << 20
	// maxSparseCells is how many cells a wide table may have if fewer than one in
	// sparseRatio has a value.
	maxSparseCells = 16 << 20
	sparseRatio    = 16
)

// windowRows is how many rows of the table are written at once.
func (s *Schema) windowRows() int {
	return max(1, min(windowRows, maxWindowCells/(len(s.metrics)+1)))
}

// SparseError says that a wide table would be nearly all empty, and very large.
type SparseError struct{ Columns, Rows, Points int }

// Error has the numbers.
func (e *SparseError) Error() string {
	return fmt.Sprintf("a wide table of %d columns and %d rows would have %d values only", e.Columns, e.Rows, e.Points)
}

// CheckSize returns a SparseError if the table is not worth its space.
func (s *Schema) CheckSize() error {
	if cells := s.rows * len(s.metrics); cells <= maxSparseCells || s.points >= cells/sparseRatio {
		return nil
	}
	return &SparseError{Columns: len(s.metrics), Rows: s.rows, Points: s.points}
}

// check compares a window with what Add has seen.
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

// identity are the titles of the columns before the metrics.
func (s *Schema) identity() []string {
	if s.multiRun {
		return []string{titleViewer, titleRun, titleStep}
	}
	return []string{titleStep}
}

// names are the metrics in the order of their columns.
func (s *Schema) names() []string { return slices.Sorted(maps.Keys(s.metrics)) }

// uniqueTitles are the names with titles that are valid, as text makes them, and
// unlike each other and the titles of other columns.
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

// columns are the typed columns. A metric keeps its name for the kind that it
// is, or for its numbers if it is of several; what else it has stands beside it
// under a name with a suffix.
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
