package eventlog

import (
	"iter"
	"math"
	"slices"
)

// Series returns the selected points, each series by ascending step, sorted by name and
// kind. The caller owns the columns.
func (t *Table) Series(selection Selection) []Series {
	return t.series(selection, readOptions{limit: math.MaxInt})
}

// First returns at most the first n points of each series.
func (t *Table) First(selection Selection, n int) []Series {
	return t.series(selection, readOptions{limit: n})
}

// Window is First without copying if possible: the columns may be the table's. They are
// read-only and valid until the table changes.
func (t *Table) Window(selection Selection, n int) []Series {
	return t.series(selection, readOptions{limit: n, shared: true})
}

// Last returns at most the last n points of each series.
func (t *Table) Last(selection Selection, n int) []Series {
	return t.series(selection, readOptions{limit: n, newest: true})
}

// Read returns the points of a metric, one sample per kind, not downsampled yet. The caller
// owns the columns. ok is always true; a digest may lack points.
func (t *Table) Read(name string, q Query) (samples []Sample, ok bool) {
	selection := Selection{Names: []string{name}, MinStep: q.MinStep, MaxStep: q.MaxStep}
	opts := readOptions{limit: math.MaxInt}
	switch {
	case q.Limit > 0:
		opts.limit = q.Limit
	case q.Last > 0:
		opts.limit, opts.newest = q.Last, true
	}
	stats := t.Stats(selection)
	for _, s := range t.series(selection, opts) {
		stat := stats[slices.IndexFunc(stats, func(stat Stat) bool { return stat.Kind == s.Kind })]
		samples = append(samples, Sample{Series: s, Total: stat.Count, Finite: stat.Count - stat.NonFinite})
	}
	return samples, true
}

// readOptions limits how many points of a series are read, and from which end.
type readOptions struct {
	limit  int
	newest bool
	shared bool
}

func (t *Table) series(selection Selection, opts readOptions) []Series {
	var series []Series
	if opts.limit <= 0 {
		return series
	}
	for c := range t.selected(selection) {
		from, to := c.bounds(selection)
		if c.isPlain(from, to) {
			series = append(series, c.copyAll(from, to, opts)...)
		} else {
			series = append(series, t.copyPresent(c, from, to, opts)...)
		}
	}
	return series
}

// Names returns the selected metrics, sorted: those with a value, and those with
// indeterminate cells only.
func (t *Table) Names(selection Selection) []string {
	var names []string
	for c := range t.selected(selection) {
		names = append(names, c.name)
	}
	names = append(names, t.onlyIndeterminate(selection)...)
	slices.Sort(names)
	return names
}

// selected iterates over the columns of the selected metrics with a value, by name.
func (t *Table) selected(selection Selection) iter.Seq[*column] {
	return func(yield func(*column) bool) {
		for _, name := range SelectNames(t.columns, &selection) {
			if c := t.columns[name]; c.count > 0 && !yield(c) {
				return
			}
		}
	}
}

// onlyIndeterminate returns the selected metrics without a known value, sorted.
func (t *Table) onlyIndeterminate(selection Selection) []string {
	return slices.DeleteFunc(SelectNames(t.indeterminate, &selection), func(name string) bool {
		c := t.columns[name]
		return c != nil && c.count > 0
	})
}

// SelectNames returns the selected names in m, sorted. Exact names are looked up, so that
// reading all metrics one by one does not take quadratic time.
func SelectNames[V any](m map[string]V, s *Selection) []string {
	var names []string
	for _, name := range s.Names {
		if _, ok := m[name]; ok {
			names = append(names, name)
		}
	}
	if s.hasAllNames() || len(s.Prefixes) > 0 {
		for name := range m {
			if s.hasAllNames() || s.hasPrefixOf(name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Steps iterates over the distinct steps, ascending.
func (t *Table) Steps() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		others := t.otherSteps()
		for _, step := range t.longest().steps {
			for len(others) > 0 && others[0] < step {
				if !yield(others[0]) {
					return
				}
				others = others[1:]
			}
			if !yield(step) {
				return
			}
		}
		slices.Values(others)(yield)
	}
}

// bounds returns the rows of the selected steps, up to the column's length.
func (c *column) bounds(selection Selection) (from, to int) {
	from, to = selection.rows(c.group.steps)
	to = min(to, len(c.values))
	return min(from, to), to
}

// isPlain reports whether all the rows are present and plain numbers.
func (c *column) isPlain(from, to int) bool {
	return c.kinds == nil && c.countIn(from, to) == to-from
}

// copyAll copies or shares rows that are plain.
func (c *column) copyAll(from, to int, opts readOptions) []Series {
	switch {
	case from == to:
		return nil
	case to-from <= opts.limit:
	case opts.newest:
		from = to - opts.limit
	default:
		to = from + opts.limit
	}
	times := c.times
	if times == nil {
		times = c.group.times
	}
	s := Series{
		Name: c.name, Kind: KindNumber,
		Steps: c.group.steps[from:to:to], Times: times[from:to:to], Values: c.values[from:to:to],
	}
	if !opts.shared {
		s.Steps, s.Times, s.Values = slices.Clone(s.Steps), slices.Clone(s.Times), slices.Clone(s.Values)
	}
	return []Series{s}
}

// copyPresent copies cell by cell, one series per kind.
func (t *Table) copyPresent(c *column, from, to int, opts readOptions) []Series {
	rows := c.rows(from, to)
	if opts.newest {
		rows = c.backward(from, to)
	}
	var byKind [KindText + 1]Series
	if c.kinds == nil { // otherwise the kinds would have to be counted
		byKind[KindNumber].grow(min(c.countIn(from, to), opts.limit))
	}
	for row := range rows {
		kind := c.kind(row)
		s := &byKind[publicKind(kind)]
		if s.Len() < opts.limit {
			s.Steps = append(s.Steps, c.group.steps[row])
			s.Times = append(s.Times, c.time(row))
			t.appendValue(s, kind, c.values[row])
		} else if c.kinds == nil {
			break
		}
	}
	var series []Series
	for kind := range byKind {
		s := &byKind[kind]
		if s.Len() == 0 {
			continue
		}
		s.Name, s.Kind = c.name, Kind(kind)
		if opts.newest {
			s.reverse()
		}
		series = append(series, *s)
	}
	return series
}

// appendValue appends a stored value after its step.
func (t *Table) appendValue(s *Series, kind Kind, value float64) {
	switch kind {
	case KindText:
		s.Texts = append(s.Texts, t.texts.text(value))
	case kindExact:
		text := t.texts.text(value)
		s.Exact = append(s.Exact, Exact{Index: s.Len() - 1, Text: text})
		s.Values = append(s.Values, parseFloat(text))
	default:
		s.Values = append(s.Values, value)
	}
}

// publicKind returns the exported kind of a stored cell.
func publicKind(kind Kind) Kind {
	if kind == kindExact {
		return KindNumber
	}
	return kind
}
