package search

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxMetrics bounds the metrics of one run that are held.
const maxMetrics = 20_000

var (
	// errUnordered says that a point came at a step before the greatest one of its
	// metric: it may rewrite a point that a digest no longer has.
	errUnordered = errors.New("steps are not in order")
	// errTooManyMetrics says that a run has more metrics than are held.
	errTooManyMetrics = fmt.Errorf("the run has more than %d metrics", maxMetrics)
)

// digest sums up rows, metric by metric. It holds no points, so it works as long as
// the steps of each metric ascend; rewriting the greatest one is fine.
type digest struct {
	names   func(string) string // shares the names of metrics among runs
	series  map[string]*series
	count   int
	images  images
	row     []*series // of the row before: the next one is likely to be alike
	prevRow []*series
}

// series is the kinds of one metric.
type series struct {
	name   string
	byKind [eventlog.KindText + 1]*Metric
	last   *Metric // the kind of the value at the highest step
}

// newDigest continues from what is known of a run.
func newDigest(known []Metric, knownImages []Image, names func(string) string) *digest {
	d := &digest{names: names, series: make(map[string]*series, len(known)), images: images{names, slices.Clone(knownImages)}}
	for i := range known {
		m := known[i] // a copy: known is shared
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

// add takes a row in the order of the log. After an error the digest is of no use.
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

// handler adds what a parser finds.
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

// find looks the metric up, first where the row before had it.
func (d *digest) find(i int, name string) *series {
	if i < len(d.prevRow) && d.prevRow[i] != nil && d.prevRow[i].name == name {
		return d.prevRow[i]
	}
	return d.series[name]
}

// metrics returns what was summed up, by name and kind.
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

// ofTable sums up a merged table, whatever the order in which it was written.
func ofTable(t *eventlog.Table, isMerged bool, names func(string) string) ([]Metric, error) {
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

// maxPoints is no bound: the table is held already.
const maxPoints = 1<<63 - 1

// IsTooLarge says that a run has more than is held of one.
func IsTooLarge(err error) bool {
	return errors.Is(err, errTooManyMetrics) || errors.Is(err, errDocumentTooLarge)
}
