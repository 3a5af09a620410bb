package digest

import (
	"cmp"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

const maxKinds = int(eventlog.KindText)

// point is one value of a metric.
type point struct {
	Step   int64
	Time   float64 // Unix seconds, 0 if unknown
	Kind   eventlog.Kind
	Number float64
	Text   string // the text, or the digits of an integer that Number cannot hold
}

func (p *point) isFinite() bool { return p.Kind == eventlog.KindText || p.Number-p.Number == 0 }

// cell returns the point as a cell.
func (p *point) cell(name string) eventlog.Cell {
	if p.Kind == eventlog.KindText {
		return eventlog.Cell{Name: name, Kind: p.Kind, Text: p.Text}
	}
	return eventlog.Cell{Name: name, Kind: p.Kind, Number: p.Number, Exact: p.Text}
}

// metric is the digest of one metric.
type metric struct {
	Name       string
	Recent     []point // the newest points of all kinds, ascending by step: at least half of the limit
	RecentText int     // bytes of their texts
	// Folded has the older points by kind; nil if there are none.
	Folded    [maxKinds + 1]*folded
	HasFolded bool
	LastStep  int64 // the highest folded step
}

// put merges a point; one without a kind erases the point of its step. False means that the
// step was folded.
func (m *metric) put(p point, halved int) bool {
	if m.HasFolded && p.Step <= m.LastStep {
		return false
	}
	n := len(m.Recent)
	at, found := n, false
	if n > 0 && p.Step <= m.Recent[n-1].Step {
		at, found = slices.BinarySearchFunc(m.Recent, p.Step, func(q point, step int64) int { return cmp.Compare(q.Step, step) })
	}
	if found {
		m.RecentText -= len(m.Recent[at].Text)
	}
	switch isNone := p.Kind == eventlog.KindNone; {
	case isNone && found:
		m.Recent = slices.Delete(m.Recent, at, at+1)
		return true
	case isNone:
		return true
	case found:
		m.Recent[at] = p
	default:
		m.Recent = slices.Insert(m.Recent, at, p)
	}
	m.RecentText += len(p.Text)
	m.trim(halved)
	return true
}

// trim folds what exceeds the limits.
func (m *metric) trim(halved int) {
	if len(m.Recent) <= maxRecent>>halved && m.RecentText <= maxRecentText {
		return
	}
	n := 0 // number of points to fold: half of them, and long texts
	for ; n < len(m.Recent)/2 || m.RecentText > maxRecentText && n < len(m.Recent)-1; n++ {
		p := &m.Recent[n]
		m.RecentText -= len(p.Text)
		m.HasFolded, m.LastStep = true, p.Step
		f := m.Folded[p.Kind]
		if f == nil {
			f = &folded{Stride: 1}
			m.Folded[p.Kind] = f
		}
		f.add(p)
		f.trim(maxBuckets >> halved)
	}
	m.Recent = slices.Delete(m.Recent, 0, n)
}

// halve applies halved limits.
func (m *metric) halve(halved int) {
	m.trim(halved)
	for _, f := range m.Folded {
		if f != nil {
			f.trim(maxBuckets >> halved)
		}
	}
}

func (m *metric) bytes() int {
	n := pointBytes*cap(m.Recent) + m.RecentText
	for _, f := range m.Folded {
		if f != nil {
			n += 8*pointBytes + bucketBytes*cap(f.Buckets) + pointBytes*cap(f.Edges)
		}
	}
	return n
}

// folded has the older points of one metric and kind.
type folded struct {
	extremes
	Count     int
	NonFinite int
	// LastFinite is the newest finite point before a non-finite one, if any.
	LastFinite point
	// Edges are the ends of the runs of non-finite values: every Stride-th of EdgeCount
	// edges.
	Edges     []point
	EdgeCount int
	Stride    int
	// Buckets have 1<<Shift points each, except the last one.
	Buckets []extremes
	Shift   int
	// NoSample reports that a text was too long to be kept, so that there are no buckets.
	NoSample bool
}

// extremes has the points that represent a bucket: the first, the last, and the lowest and the
// highest finite one.
type extremes struct {
	First, Last, Min, Max point
	HasRange              bool
}

// add appends a point; isFirst reports that there are none yet.
func (r *extremes) add(p *point, isFirst bool) {
	if isFirst {
		r.First = *p
	}
	r.Last = *p
	if p.isFinite() {
		r.widen(p, p)
	}
}

// widen extends the range to a lowest and a highest point.
func (r *extremes) widen(low, high *point) {
	if !r.HasRange || less(low, &r.Min) {
		r.Min = *low
	}
	if !r.HasRange || less(&r.Max, high) {
		r.Max = *high
	}
	r.HasRange = true
}

func less(a, b *point) bool {
	if a.Kind == eventlog.KindText {
		return a.Text < b.Text
	}
	return a.Number < b.Number
}

// merge adds the following bucket.
func (r *extremes) merge(next *extremes) {
	r.Last = next.Last
	if next.HasRange {
		r.widen(&next.Min, &next.Max)
	}
}

// add folds the next point.
func (f *folded) add(p *point) {
	f.addEdges(p)
	if !p.isFinite() {
		f.NonFinite++
		if f.Count > 0 && f.Last.isFinite() {
			f.LastFinite = f.Last
		}
	}
	f.extremes.add(p, f.Count == 0)
	if len(p.Text) > maxFoldedText {
		f.NoSample, f.Buckets = true, nil
	}
	if !f.NoSample {
		bucket := f.Count >> f.Shift
		isFirst := bucket == len(f.Buckets)
		if isFirst {
			f.Buckets = append(f.Buckets, extremes{})
		}
		f.Buckets[bucket].add(p, isFirst)
	}
	f.Count++
}

// addEdges records that a run of non-finite values begins or has ended.
func (f *folded) addEdges(p *point) {
	wasFinite := f.Count == 0 || f.Last.isFinite()
	switch isFinite := p.isFinite(); {
	case wasFinite && !isFinite:
		f.addEdge(p)
	case !wasFinite && isFinite:
		f.addEdge(&f.Last)
	}
}

func (f *folded) addEdge(p *point) {
	if f.EdgeCount%f.Stride == 0 {
		f.Edges = append(f.Edges, *p)
	}
	f.EdgeCount++
}

// trim reduces the buckets, and the edges, to limit.
func (f *folded) trim(limit int) {
	for len(f.Buckets) > limit {
		half := (len(f.Buckets) + 1) / 2
		for i := range half {
			f.Buckets[i] = f.Buckets[2*i]
			if 2*i+1 < len(f.Buckets) {
				f.Buckets[i].merge(&f.Buckets[2*i+1])
			}
		}
		clear(f.Buckets[half:])
		f.Buckets = f.Buckets[:half]
		f.Shift++
	}
	for len(f.Edges) > limit {
		half := (len(f.Edges) + 1) / 2
		for i := range half {
			f.Edges[i] = f.Edges[2*i]
		}
		clear(f.Edges[half:])
		f.Edges = f.Edges[:half]
		f.Stride *= 2
	}
}

// sample returns the points that represent all, ascending by step.
func (f *folded) sample() []point {
	points := slices.Clone(f.Edges)
	add := func(r *extremes) {
		points = append(points, r.First, r.Last)
		if r.HasRange {
			points = append(points, r.Min, r.Max)
		}
	}
	add(&f.extremes)
	if f.LastFinite.Kind != eventlog.KindNone {
		points = append(points, f.LastFinite)
	}
	for i := range f.Buckets {
		add(&f.Buckets[i])
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.Step, b.Step) })
	return slices.CompactFunc(points, func(a, b point) bool { return a.Step == b.Step })
}

// canSample reports whether the sample is fine enough for maxPoints.
func (f *folded) canSample(maxPoints, halved int) bool {
	return !f.NoSample && 0 < maxPoints && maxPoints <= maxBuckets>>halved/2
}
