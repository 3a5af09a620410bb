package search

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxMetrics bounds the metrics of one run.
const maxMetrics = 20_000

var (
	// errUnordered means that the step of a point is lower than the highest one of its
	// metric: the point may overwrite one that a digest no longer has.
	errUnordered = errors.New("steps are not in order")
	// errTooManyMetrics means that a run exceeds maxMetrics.
	errTooManyMetrics = fmt.Errorf("the run has more than %d metrics", maxMetrics)
)

// digest aggregates rows, metric by metric. It stores no points, so the steps of each metric
// must ascend; only the point at the highest step can be overwritten.
type digest struct {
	names   func(string) string // interns the names of metrics
	series  map[string]*series
	count   int
	images  images
	row     []*series // of the current row
	prevRow []*series // of the previous row, whose columns are usually the same
}

// series has the values of one metric, by kind.
type series struct {
	name   string
	byKind [eventlog.KindText + 1]*Metric
	last   *Metric // the kind with the highest step
}

// newDigest continues from the aggregates of a record.
func newDigest(known []Metric, knownImages []Image, names func(string) string) *digest {
	d := &digest{names: names, series: make(map[string]*series, len(known)), images: images{names, slices.Clone(knownImages)}}
	for i := range known {
		m := known[i] // a copy: records are shared
		s, ok := d.series[m.Name]
		if !ok {
			s = &series{name: m.Name}
			d.series[m.Name] = s
		}
		s.byKind[m.Kind] = &m
		if s.last == nil || m.Last.Step > s.last.Last.Step {
			s.last = &m
		}
	}
	d.count = len(known)
	return d
}

// add adds a row, in the order of the log. After an error the digest is unusable.
func (d *digest) add(row *eventlog.Row) error {
	d.prevRow, d.row = d.row, d.prevRow[:0]
	at := Point{Step: row.Step}
	if row.HasTime {
		at.Time = row.Time
	}
	for i := range row.Cells {
		if err := d.addCell(i, at, &row.Cells[i]); err != nil {
			return err
		}
	}
	return nil
}

// handler adds the rows and images of a parser.
func (d *digest) handler() eventlog.Handler {
	return eventlog.Handler{Row: d.add, Media: d.images.add}
}

func (d *digest) addCell(i int, at Point, c *eventlog.Cell) error {
	s := d.find(i, c.Name)
	if s == nil && c.Kind == eventlog.KindNone {
		d.row = append(d.row, nil)
		return nil
	}
	if s == nil {
		s = &series{name: d.names(c.Name)}
		d.series[s.name] = s
	}
	d.row = append(d.row, s)
	if s.last != nil && at.Step <= s.last.Last.Step {
		if at.Step < s.last.Last.Step || c.Kind != s.last.Kind {
			return errUnordered
		}
		at.Value = c.Number
		s.last.replaceLast(at, textOf(c))
		return nil
	}
	if c.Kind == eventlog.KindNone {
		return nil
	}
	m := s.byKind[c.Kind]
	if m == nil {
		if d.count++; d.count > maxMetrics {
			return errTooManyMetrics
		}
		m = &Metric{Name: s.name, Kind: c.Kind}
		s.byKind[c.Kind] = m
	}
	at.Value = c.Number
	m.push(at, textOf(c))
	s.last = m
	return nil
}

// find returns the series of a metric. It first tries the same column of the previous row.
func (d *digest) find(i int, name string) *series {
	if i < len(d.prevRow) && d.prevRow[i] != nil && d.prevRow[i].name == name {
		return d.prevRow[i]
	}
	return d.series[name]
}

// metrics returns the aggregates, sorted by name and kind.
func (d *digest) metrics() []Metric {
	out := make([]Metric, 0, d.count)
	for _, s := range d.series {
		for _, m := range s.byKind {
			if m != nil {
				m.LastText = shorten(m.LastText)
				out = append(out, *m)
			}
		}
	}
	slices.SortFunc(out, compareMetrics)
	return out
}

func compareMetrics(a, b Metric) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Kind, b.Kind))
}

// metricsOfTable aggregates a table, whatever the order in which its rows were logged.
// isMerged means that it is a merged table of a Viewer.
func metricsOfTable(t *eventlog.Table, isMerged bool, names func(string) string) ([]Metric, error) {
	all := t.Names(eventlog.Selection{})
	if len(all) > maxMetrics {
		return nil, errTooManyMetrics
	}
	var out []Metric
	for _, name := range all {
		for _, s := range t.Window(eventlog.Selection{Names: []string{name}}, maxPoints) {
			m := Metric{Name: names(name), Kind: s.Kind}
			exact := s.Exact
			for i, step := range s.Steps {
				p, text := Point{Step: step, Time: s.Times[i]}, ""
				if s.Kind == eventlog.KindText {
					text = s.Texts[i]
				} else {
					p.Value = s.Values[i]
				}
				if len(exact) > 0 && exact[0].Index == i {
					text, exact = exact[0].Text, exact[1:]
				}
				m.push(p, text)
			}
			m.LastText = shorten(m.LastText)
			if isMerged {
				m.nonFinite = int64(t.Indeterminate(name))
			}
			out = append(out, m)
		}
	}
	slices.SortFunc(out, compareMetrics)
	return out, nil
}

// maxPoints is no bound: the table is in memory already.
const maxPoints = 1<<63 - 1

// IsTooLarge reports whether an error means that a run exceeds the bounds of a record.
func IsTooLarge(err error) bool {
	return errors.Is(err, errTooManyMetrics) || errors.Is(err, errDocumentTooLarge)
}
