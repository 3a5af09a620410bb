// Package digest keeps what summaries, the newest points and downsampled curves of a run of
// any size need, in bounded memory.
//
// The newest points of each metric are kept exactly, so that late and repeated writes to
// them are exact too. Older points are folded: into sums, and into buckets of equally many
// points, whose width doubles when there are too many. Folded points cannot change: a write
// to an older step makes the digest useless, which Put reports.
package digest

import (
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// MaxBytes is the memory limit of a digest, unless it has very many metrics.
const MaxBytes = 32 << 20

// The limits of one metric are halved as often as needed to keep all metrics within the
// limit of the digest.
const (
	maxRecent  = 4096
	maxBuckets = 4096
	maxHalved  = 9 // at least 8 recent points and 8 buckets
	// maxRecentText is the maximum number of text bytes of a metric's recent points, and
	// maxFoldedText that of one text in a bucket.
	maxRecentText = 64 << 10
	maxFoldedText = 256
	// maxRecentSteps is how many of the newest steps are kept, over all metrics; it is
	// halved too.
	maxRecentSteps = 1 << 16

	pointBytes  = 48
	bucketBytes = 4*pointBytes + 8
	metricBytes = maxRecent*pointBytes + maxBuckets*bucketBytes
)

// Digest is a run's digest. It is not safe for concurrent use, except for concurrent reads.
type Digest struct {
	maxBytes int // of all metrics together
	metrics  map[string]*metric
	steps    steps
	nulls    map[string]int // see eventlog.Table.AddIndeterminate
	Excess   eventlog.Excess
	halved   int // how often the limits of a metric were halved

	previous []*metric // of the previous row, by the index of the cell
}

// New returns an empty digest of at most maxBytes.
func New(maxBytes int) *Digest {
	return &Digest{maxBytes: maxBytes, metrics: map[string]*metric{}, nulls: map[string]int{}}
}

// FromTable returns the digest of a table, of at most maxBytes.
func FromTable(t *eventlog.Table, maxBytes int) *Digest {
	d := New(maxBytes)
	for _, name := range t.Names(eventlog.Selection{}) {
		if n := t.Indeterminate(name); n > 0 {
			d.nulls[name] = n
		}
		d.addSeries(name, t.Window(eventlog.Selection{Names: []string{name}}, int(^uint(0)>>1)))
	}
	for step := range t.Steps() {
		d.steps.put(step, d.halved)
	}
	d.Excess = t.Excess()
	return d
}

// addSeries adds the points of one metric, with one series per kind.
func (d *Digest) addSeries(name string, series []eventlog.Series) {
	var next [maxKinds]int // index of the next point of each series
	var exact [maxKinds]int
	for len(series) > 0 {
		first := -1
		for i := range series {
			if next[i] < series[i].Len() && (first < 0 || series[i].Steps[next[i]] < series[first].Steps[next[first]]) {
				first = i
			}
		}
		if first < 0 {
			return
		}
		s, at := &series[first], next[first]
		next[first]++
		p := point{Step: s.Steps[at], Time: s.Times[at], Kind: s.Kind}
		switch e := exact[first]; {
		case s.Kind == eventlog.KindText:
			p.Text = s.Texts[at]
		case e < len(s.Exact) && s.Exact[e].Index == at:
			p.Number, p.Text = s.Values[at], s.Exact[e].Text
			exact[first]++
		default:
			p.Number = s.Values[at]
		}
		m := d.metrics[name]
		if m == nil {
			m = d.addMetric(name)
		}
		m.put(p, d.halved)
	}
}

// Put merges a row, and copies what it keeps. False means that the row changes a folded
// step: the digest is then useless and must be built again.
func (d *Digest) Put(row *eventlog.Row) bool {
	if !d.steps.put(row.Step, d.halved) {
		return false
	}
	p := point{Step: row.Step}
	if row.HasTime {
		p.Time = row.Time
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		m := d.metric(i, c)
		if m == nil {
			continue
		}
		p.Kind, p.Number, p.Text = c.Kind, c.Number, c.Exact
		if c.Kind == eventlog.KindText {
			p.Text = c.Text
		}
		if !m.put(p, d.halved) {
			return false
		}
	}
	return true
}

// metric finds or adds the metric of a row's i-th cell; nil if none is needed.
func (d *Digest) metric(i int, c *eventlog.Cell) *metric {
	if i < len(d.previous) && d.previous[i] != nil && d.previous[i].Name == c.Name {
		return d.previous[i]
	}
	m := d.metrics[c.Name]
	switch {
	case m != nil || c.Kind == eventlog.KindNone:
	case len(d.metrics) >= eventlog.MaxMetrics:
		d.Excess.CountMetric(c.Name)
	default:
		m = d.addMetric(c.Name)
	}
	for len(d.previous) <= i {
		d.previous = append(d.previous, nil)
	}
	d.previous[i] = m
	return m
}

// addMetric adds a metric, and halves the limits of all if there are too many now.
func (d *Digest) addMetric(name string) *metric {
	m := &metric{Name: name}
	d.metrics[name] = m
	for d.halved < maxHalved && len(d.metrics)*(metricBytes>>d.halved) > d.maxBytes {
		d.halved++
		for _, other := range d.metrics {
			other.halve(d.halved)
		}
	}
	return m
}

// Rows returns the number of distinct steps.
func (d *Digest) Rows() int { return d.steps.Folded + len(d.steps.Recent) }

// Bytes estimates the memory of the digest.
func (d *Digest) Bytes() int {
	n := 512 + 8*cap(d.steps.Recent)
	for name, m := range d.metrics {
		n += 256 + 2*len(name) + m.bytes()
	}
	for name := range d.nulls {
		n += 80 + len(name)
	}
	return n
}

// steps counts distinct steps.
type steps struct {
	Recent   []int64 // the newest ones, ascending
	Folded   int     // number of older steps
	LastStep int64   // the highest of those
}

// put adds a step; false means that it is unknown whether the step was there before.
func (s *steps) put(step int64, halved int) bool {
	if s.Folded > 0 && step <= s.LastStep {
		return false
	}
	if n := len(s.Recent); n == 0 || step > s.Recent[n-1] {
		s.Recent = append(s.Recent, step)
	} else if at, found := slices.BinarySearch(s.Recent, step); !found {
		s.Recent = slices.Insert(s.Recent, at, step)
	}
	if n := len(s.Recent) / 2; len(s.Recent) > maxRecentSteps>>halved {
		s.Folded, s.LastStep = s.Folded+n, s.Recent[n-1]
		s.Recent = slices.Delete(s.Recent, 0, n)
	}
	return true
}
