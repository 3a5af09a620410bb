package digest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// logMaker makes random logs: mostly ascending steps, some late or repeated, values of all
// kinds, and nulls.
type logMaker struct {
	random *rand.Rand
	step   int64
}

func (l *logMaker) row() *eventlog.Row {
	l.step += int64(l.random.IntN(3))
	row := &eventlog.Row{Step: l.step, HasTime: l.random.IntN(10) > 0, Time: float64(l.random.IntN(1000))}
	if l.random.IntN(20) == 0 {
		row.Step -= int64(l.random.IntN(6))
	}
	for i, name := range []string{"a", "b", "mixed", "text", "rare"} {
		if l.random.IntN(8) == 0 || name == "rare" && l.random.IntN(50) > 0 {
			continue
		}
		row.Cells = append(row.Cells, l.cell(name, i))
	}
	return row
}

func (l *logMaker) cell(name string, i int) eventlog.Cell {
	c := eventlog.Cell{Name: name, Kind: eventlog.KindNumber, Number: float64(l.random.IntN(50))}
	switch n := l.random.IntN(40); {
	case n == 0:
		return eventlog.Cell{Name: name}
	case n < 3:
		c.Number = math.NaN()
	case n == 3:
		c.Number = math.Inf(l.random.IntN(2) - 1)
	case n == 4:
		c.Number, c.Exact = 1<<60, "1152921504606846977"
	case name == "text" || name == "mixed" && n%3 == 0:
		return eventlog.Cell{Name: name, Kind: eventlog.KindText, Text: strconv.Itoa(l.random.IntN(3))}
	case i == 1 || name == "mixed" && n%3 == 1:
		c.Kind, c.Number = eventlog.KindBoolean, float64(l.random.IntN(2))
	}
	return c
}

// compare compares the digest with the table of the same rows.
func compare(t *testing.T, d *Digest, table *eventlog.Table) {
	t.Helper()
	all := eventlog.Selection{}
	if diff := cmp.Diff(table.Stats(all), d.Stats(all), cmpopts.EquateNaNs()); diff != "" {
		t.Fatalf("stats (-table +digest):\n%s", diff)
	}
	if !slices.Equal(table.Names(all), d.Names(all)) || table.Rows() != d.Rows() {
		t.Fatalf("%v, %d rows; want %v, %d", d.Names(all), d.Rows(), table.Names(all), table.Rows())
	}
	for _, name := range table.Names(all) {
		one := eventlog.Selection{Names: []string{name}}
		whole := table.Series(one)
		compareSeries(t, d, name, eventlog.Query{}, whole)
		for _, n := range []int{1, 2, 5} {
			compareSeries(t, d, name, eventlog.Query{Last: n}, table.Last(one, n))
			compareSeries(t, d, name, eventlog.Query{Limit: n}, table.First(one, n))
		}
		from := d.metrics[name].LastStep + 1
		one.MinStep, one.MaxStep = &from, new(from+3)
		compareSeries(t, d, name, eventlog.Query{MinStep: one.MinStep, MaxStep: one.MaxStep}, table.Series(one))
		checkSample(t, d, name, whole)
		checkBest(t, d, name, whole)
	}
}

// compareSeries compares the result of a query, which the digest may not be able to answer.
func compareSeries(t *testing.T, d *Digest, name string, q eventlog.Query, want []eventlog.Series) {
	t.Helper()
	series, ok := d.Read(name, q)
	if !ok {
		if q.MinStep != nil {
			t.Fatalf("%s: what is recent is not known", name)
		}
		return
	}
	var got []eventlog.Series
	for _, s := range series {
		got = append(got, s.Series)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s %+v (-table +digest):\n%s", name, q, diff)
	}
}

// checkSample checks that a sample has the points that a downsampled curve must keep, and
// only existing points.
func checkSample(t *testing.T, d *Digest, name string, want []eventlog.Series) {
	t.Helper()
	series, ok := d.Read(name, eventlog.Query{MaxPoints: maxBuckets >> d.halved / 2})
	if !ok || len(series) != len(want) {
		t.Fatalf("%s: %d series, %t; want %d", name, len(series), ok, len(want))
	}
	for i := range want {
		w, s := &want[i], &series[i]
		if s.Total != w.Len() || s.Steps[0] != w.Steps[0] || s.Steps[s.Len()-1] != w.Steps[w.Len()-1] {
			t.Fatalf("%s: %d points of %d, from %v", name, s.Len(), s.Total, s.Steps)
		}
		for at, step := range s.Steps {
			j, found := slices.BinarySearch(w.Steps, step)
			sameText := w.Kind != eventlog.KindText || w.Texts[j] == s.Texts[at]
			if !found || s.Times[at] != w.Times[j] || !sameText ||
				w.Kind != eventlog.KindText && math.Float64bits(s.Values[at]) != math.Float64bits(w.Values[j]) {
				t.Fatalf("%s: no such point at step %d", name, step)
			}
		}
		if w.Kind != eventlog.KindNumber {
			continue
		}
		stride := 1
		if f := d.metrics[name].Folded[w.Kind]; f != nil {
			stride = f.Stride
		}
		isFinite := func(v float64) bool { return v-v == 0 }
		for at, v := range w.Values {
			atEdge := !isFinite(v) && (at == 0 || at == w.Len()-1 || isFinite(w.Values[at-1]) || isFinite(w.Values[at+1]))
			if _, found := slices.BinarySearch(s.Steps, w.Steps[at]); atEdge && !found && stride == 1 {
				t.Fatalf("%s: the edge at step %d is lost", name, w.Steps[at])
			}
		}
	}
}

func checkBest(t *testing.T, d *Digest, name string, series []eventlog.Series) {
	t.Helper()
	var lowest, last *point
	for i := range series {
		for at, v := range series[i].Values {
			if s := &series[i]; s.Kind == eventlog.KindNumber && v-v == 0 {
				last = &point{Step: s.Steps[at], Number: v}
				if lowest == nil || v < lowest.Number {
					lowest = last
				}
			}
		}
	}
	samples, ok := d.Read(name, eventlog.Query{MaxPoints: 1})
	if !ok {
		t.Fatalf("%s: no sample", name)
	}
	var gotLowest, gotLast *point
	for i := range samples {
		for at, v := range samples[i].Values {
			if s := &samples[i]; s.Kind == eventlog.KindNumber && v-v == 0 {
				gotLast = &point{Step: s.Steps[at], Number: v}
				if gotLowest == nil || v < gotLowest.Number {
					gotLowest = gotLast
				}
			}
		}
	}
	if diff := cmp.Diff([]*point{lowest, last}, []*point{gotLowest, gotLast}); diff != "" {
		t.Fatalf("%s: the lowest and the last point (-table +digest):\n%s", name, diff)
	}
}

// run puts random rows into a digest with the smallest limits, and into a table.
func run(t *testing.T, seed uint64, rows int) {
	t.Helper()
	l := &logMaker{random: rand.New(rand.NewPCG(seed, 1))}
	d, table := New(MaxBytes), eventlog.NewTable()
	d.halved = maxHalved
	highest := map[string]int64{}
	for i := range rows {
		row := l.row()
		table.Put(row)
		if !d.Put(row) {
			isLate := row.Step < highest[""]
			for _, c := range row.Cells {
				isLate = isLate || row.Step <= highest[c.Name]
			}
			if !isLate {
				t.Fatalf("a row of step %d is refused", row.Step)
			}
			table.Compact() // start over
			d = FromTable(table, MaxBytes)
			for range maxHalved {
				d.halved++
				for _, m := range d.metrics {
					m.halve(d.halved)
				}
			}
		}
		highest[""] = max(highest[""], row.Step)
		for _, c := range row.Cells {
			highest[c.Name] = max(highest[c.Name], row.Step)
		}
		if i%97 == 0 || i == rows-1 {
			table.Compact()
			compare(t, d, table)
		}
	}
}

func TestDigest_EqualsTheTable(t *testing.T) {
	for seed := range uint64(20) {
		run(t, seed, 800)
	}
}

func FuzzDigest(f *testing.F) {
	f.Add(uint64(1), uint16(100))
	f.Fuzz(func(t *testing.T, seed uint64, rows uint16) { run(t, seed, int(rows%2000)) })
}

func TestDigest_Limits(t *testing.T) {
	row := func(step int64, cells ...eventlog.Cell) *eventlog.Row { return &eventlog.Row{Step: step, Cells: cells} }
	cell := func(name string) eventlog.Cell {
		return eventlog.Cell{Name: name, Kind: eventlog.KindNumber, Number: 1}
	}
	t.Run("a million points take no more than fifty thousand", func(t *testing.T) {
		d, before := New(MaxBytes), 0
		for step := range int64(1_000_000) {
			if d.Put(row(step, cell("a"))); step == 200_000 {
				before = d.Bytes()
			}
		}
		if d.Bytes() > before*5/4 || d.Bytes() > metricBytes+8*2*maxRecentSteps {
			t.Errorf("%d bytes, then %d", before, d.Bytes())
		}
	})
	t.Run("many metrics have less each", func(t *testing.T) {
		d := New(MaxBytes)
		for step := range int64(200) {
			for i := range 2000 {
				d.Put(row(step, cell(strconv.Itoa(i))))
			}
		}
		if d.Bytes() > 2*MaxBytes || d.halved == 0 {
			t.Errorf("%d bytes, halved %d times", d.Bytes(), d.halved)
		}
	})
	t.Run("long texts are not collected, and not sampled", func(t *testing.T) {
		d := New(MaxBytes)
		for step := range int64(1000) {
			d.Put(row(step, eventlog.Cell{Name: "t", Kind: eventlog.KindText, Text: fmt.Sprintf("%01000d", step)}))
		}
		if _, ok := d.Read("t", eventlog.Query{MaxPoints: 10}); ok || d.Bytes() > 1<<20 {
			t.Errorf("%d bytes, sampled: %t", d.Bytes(), ok)
		}
		if s, ok := d.Read("t", eventlog.Query{Last: 2}); !ok || s[0].Total != 1000 || s[0].Len() != 2 {
			t.Errorf("the last two: %+v, %t", s, ok)
		}
	})
	t.Run("a step that nobody remembers is refused", func(t *testing.T) {
		d := New(MaxBytes)
		for step := range int64(maxRecentSteps + 10) {
			d.Put(row(step))
		}
		if d.Rows() != maxRecentSteps+10 || d.Put(row(5)) || !d.Put(row(maxRecentSteps)) {
			t.Errorf("%d rows", d.Rows())
		}
	})
}

func BenchmarkPut(b *testing.B) {
	row := &eventlog.Row{HasTime: true}
	for i := range 6 {
		row.Cells = append(row.Cells, eventlog.Cell{Name: fmt.Sprint("metric/", i), Kind: eventlog.KindNumber})
	}
	d := New(MaxBytes)
	b.ReportAllocs()
	for b.Loop() {
		row.Step++
		for i := range row.Cells {
			row.Cells[i].Number = float64(row.Step % 1000)
		}
		d.Put(row)
	}
	b.ReportMetric(float64(d.Bytes())/(1<<20), "MiB")
}
