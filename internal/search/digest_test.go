package search

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The digests of random rows must equal the merged table, unless the digest detects that the
// steps are not in order.
func TestDigest_EqualsTheMergedTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	compared := 0
	for round := range 3000 {
		table, d := eventlog.NewTable(), newDigest(nil, nil, share)
		var err error
		step, back := int64(0), rng.IntN(3) == 0
		for range rng.IntN(12) {
			if step += int64(rng.IntN(3)); back && rng.IntN(6) == 0 {
				step -= 2
			}
			row := &eventlog.Row{Step: step, Time: float64(rng.IntN(100)), HasTime: true}
			for range rng.IntN(4) {
				row.Cells = append(row.Cells, randomTestCell(rng))
			}
			table.Put(row)
			if rng.IntN(3) == 0 && err == nil { // continue from a record
				d = newDigest(d.metrics(), d.images.byKey, share)
			}
			if err == nil {
				err = d.add(row)
			}
		}
		table.Compact()
		if errors.Is(err, errUnordered) {
			continue
		}
		compared++
		want, err := metricsOfTable(table, false, share)
		if err != nil {
			t.Fatal(err)
		}
		checkSame(t, round, d.metrics(), want)
		checkStats(t, round, want, table.Stats(eventlog.Selection{}))
	}
	if compared < 500 {
		t.Errorf("only %d logs were compared", compared)
	}
}

func checkSame(t *testing.T, round int, got, want []Metric) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("round %d: %d metrics, want %d", round, len(got), len(want))
	}
	for i := range got {
		g, w := aggregatesOf(&got[i]), aggregatesOf(&want[i])
		if !reflect.DeepEqual(g, w) {
			t.Fatalf("round %d:\ngot  %v\nwant %v", round, g, w)
		}
	}
}

// checkStats compares with the table's own statistics.
func checkStats(t *testing.T, round int, got []Metric, want []eventlog.Stat) {
	t.Helper()
	for i := range want {
		m, s := &got[i], &want[i]
		low, hasRange := m.Min()
		high, _ := m.Max()
		if m.Name != s.Name || m.Kind != s.Kind || m.Count != int64(s.Count) || m.FirstStep != s.FirstStep || m.Last.Step != s.LastStep ||
			m.Kind != eventlog.KindText && (hasRange != s.HasRange || low.Value != s.Min || high.Value != s.Max || m.NonFinite() != int64(s.NonFinite)) {
			t.Fatalf("round %d:\ngot  %+v\nwant %+v", round, m, s)
		}
	}
}

func TestMetric_ReturnsTheLowestStepOfEqualExtremes(t *testing.T) {
	m := Metric{Name: "a", Kind: eventlog.KindNumber}
	for step, value := range []float64{1, 3, 3, 1, 2, 3, 1} {
		m.push(Point{Step: int64(step), Value: value}, "")
	}
	low, _ := m.Min()
	high, _ := m.Max()
	if low.Step != 0 || high.Step != 1 {
		t.Errorf("the minimum is at %d, the maximum at %d", low.Step, high.Step)
	}
}

// aggregatesOf returns the aggregates of a metric in a form in which NaN is equal to itself.
func aggregatesOf(m *Metric) []string {
	low, hasLow := m.Min()
	high, hasHigh := m.Max()
	finite, hasFinite := m.LastFinite()
	return []string{fmt.Sprint(m.Name, m.Kind, m.Count, m.FirstStep, m.Last, m.LastText, m.NonFinite()), fmt.Sprint(low, hasLow, high, hasHigh, finite, hasFinite)}
}

func randomTestCell(rng *rand.Rand) eventlog.Cell {
	c := eventlog.Cell{Name: []string{"a", "b", "c"}[rng.IntN(3)], Kind: eventlog.KindNumber, Number: float64(rng.IntN(7))}
	switch rng.IntN(12) {
	case 0:
		c.Number = math.NaN()
	case 1:
		c.Number = math.Inf(-1)
	case 2:
		c = eventlog.Cell{Name: c.Name, Kind: eventlog.KindText, Text: "x"}
	case 3:
		c.Kind, c.Number = eventlog.KindBoolean, 1
	case 4:
		c = eventlog.Cell{Name: c.Name}
	case 5:
		c.Number, c.Exact = 1<<60, "1152921504606846977"
	}
	return c
}

func TestDigest_BoundsTheMetricsOfARun(t *testing.T) {
	d := newDigest(nil, nil, share)
	row := &eventlog.Row{Step: 1}
	for i := range maxMetrics + 1 {
		row.Cells = append(row.Cells, eventlog.Cell{Name: strconv.Itoa(i), Kind: eventlog.KindNumber})
	}
	if err := d.add(row); !IsTooLarge(err) {
		t.Errorf("got %v", err)
	}
}
