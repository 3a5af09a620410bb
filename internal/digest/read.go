package digest

import (
	"math"
	"slices"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// Names returns the selected metrics, sorted, as eventlog.Table.Names does.
func (d *Digest) Names(selection eventlog.Selection) []string {
	names := slices.DeleteFunc(eventlog.SelectNames(d.metrics, &selection), func(name string) bool {
		return d.metrics[name].isEmpty()
	})
	names = append(names, eventlog.SelectNames(d.nulls, &selection)...)
	slices.Sort(names)
	return slices.Compact(names)
}

func (m *metric) isEmpty() bool { return m == nil || !m.HasFolded && len(m.Recent) == 0 }

// Stats summarizes the selected metrics over all steps, as eventlog.Table.Stats does.
func (d *Digest) Stats(selection eventlog.Selection) (stats []eventlog.Stat) {
	for _, name := range d.Names(selection) {
		m, indeterminate := d.metrics[name], d.nulls[name]
		if m.isEmpty() {
			stats = append(stats, eventlog.Stat{Name: name, Indeterminate: indeterminate})
			continue
		}
		for kind := eventlog.KindNumber; kind <= eventlog.KindText; kind++ {
			if f := m.all(kind); f.Count > 0 {
				stats = append(stats, f.stat(name, kind, indeterminate))
			}
		}
	}
	return stats
}

// Indeterminate is eventlog.Table.Indeterminate.
func (d *Digest) Indeterminate(name string) int { return d.nulls[name] }

// all summarizes all points of a kind, without buckets and edges.
func (m *metric) all(kind eventlog.Kind) folded {
	sum := folded{NoSample: true, Stride: math.MaxInt}
	if f := m.Folded[kind]; f != nil {
		sum.extremes, sum.Count, sum.NonFinite = f.extremes, f.Count, f.NonFinite
	}
	sum.EdgeCount = 1 // keep no edges
	for i := range m.Recent {
		if m.Recent[i].Kind == kind {
			sum.add(&m.Recent[i])
		}
	}
	return sum
}

func (f *folded) stat(name string, kind eventlog.Kind, indeterminate int) eventlog.Stat {
	s := eventlog.Stat{
		Name: name, Kind: kind, Count: f.Count, FirstStep: f.First.Step, LastStep: f.Last.Step,
		Last: f.Last.cell(name), LastTime: f.Last.Time, NonFinite: f.NonFinite, Indeterminate: indeterminate,
	}
	if kind != eventlog.KindText && f.HasRange {
		s.Min, s.Max, s.HasRange = f.Min.Number, f.Max.Number, true
	}
	return s
}

// Read returns the points of a metric as eventlog.Table.Read does. For a query to be
// downsampled, it returns a sample from which to choose the points. False means that only
// the log has the points.
func (d *Digest) Read(name string, q eventlog.Query) (samples []eventlog.Sample, ok bool) {
	m := d.metrics[name]
	if m.isEmpty() {
		return nil, true
	}
	steps := eventlog.Selection{MinStep: q.MinStep, MaxStep: q.MaxStep}
	isRecent := !m.HasFolded || q.MinStep != nil && *q.MinStep > m.LastStep
	isCut := q.MinStep != nil || q.MaxStep != nil
	for kind := eventlog.KindNumber; kind <= eventlog.KindText; kind++ {
		var points []point
		finite := 0
		for i := range m.Recent {
			if p := &m.Recent[i]; p.Kind == kind && steps.HasStep(p.Step) {
				points = append(points, *p)
				if p.isFinite() {
					finite++
				}
			}
		}
		total := len(points)
		if f := m.Folded[kind]; f != nil && !isRecent {
			total, finite = total+f.Count, finite+f.Count-f.NonFinite
			switch {
			case isCut || q.Limit > 0:
				return nil, false
			case q.Last > 0 && len(points) >= q.Last:
			case q.Last == 0 && f.canSample(q.MaxPoints, d.halved):
				points = append(f.sample(), points...)
			default:
				return nil, false
			}
		}
		if q.Limit > 0 {
			points = points[:min(q.Limit, len(points))]
		}
		if q.Last > 0 {
			points = points[max(0, len(points)-q.Last):]
		}
		if len(points) > 0 {
			samples = append(samples, eventlog.Sample{Series: columns(name, kind, points), Total: total, Finite: finite})
		}
	}
	return samples, true
}

// columns returns a series of points.
func columns(name string, kind eventlog.Kind, points []point) eventlog.Series {
	s := eventlog.Series{Name: name, Kind: kind}
	for i := range points {
		p := &points[i]
		s.Steps, s.Times = append(s.Steps, p.Step), append(s.Times, p.Time)
		switch {
		case kind == eventlog.KindText:
			s.Texts = append(s.Texts, p.Text)
			continue
		case p.Text != "":
			s.Exact = append(s.Exact, eventlog.Exact{Index: i, Text: p.Text})
		}
		s.Values = append(s.Values, p.Number)
	}
	return s
}
