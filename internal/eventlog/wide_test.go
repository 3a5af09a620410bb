package eventlog

import (
	"fmt"
	"testing"
)

// fillWide fills a table with a row of so many metrics, followed by two rows of one metric
// for each of them, at the steps from stepOf.
func fillWide(metrics int, stepOf func(i int) int64) *Table {
	t, row := NewTable(), &Row{}
	for i := range metrics {
		row.Cells = append(row.Cells, number(fmt.Sprintf("m%05d", i), 0))
	}
	t.Put(row)
	for i := range 2 * metrics {
		t.Put(&Row{Step: stepOf(i), Cells: row.Cells[i%metrics : i%metrics+1]})
	}
	t.Compact()
	return t
}

func TestTable_ManyMetrics(t *testing.T) {
	const metrics = 2000
	for _, test := range []struct {
		name   string
		stepOf func(i int) int64
	}{
		{"ascending steps", func(i int) int64 { return int64(i + 1) }},
		{"descending steps", func(i int) int64 { return int64(-i - 1) }},
		{"one step", func(int) int64 { return 1 }},
	} {
		t.Run(test.name+" take memory for their cells only", func(t *testing.T) {
			table := fillWide(metrics, test.stepOf)
			const maxBytes = 1 << 10
			if perMetric := table.Bytes() / metrics; perMetric > maxBytes {
				t.Errorf("%d bytes per metric", perMetric)
			}
			for _, name := range table.Names(Selection{}) {
				want := 3
				if test.name == "one step" {
					want = 2
				}
				if s := table.Series(Selection{Names: []string{name}}); len(s) != 1 || s[0].Len() != want {
					t.Fatalf("%s: %+v", name, s)
				}
			}
		})
	}
}

func TestTable_CostOfOneMetric(t *testing.T) {
	allocs := func(metrics int, read func(*Table, Selection)) float64 {
		table := fillWide(metrics, func(i int) int64 { return int64(i) })
		table.AddIndeterminate("m00000", 1)
		for i := range metrics {
			table.AddIndeterminate(fmt.Sprint("null", i), 1)
		}
		one := Selection{Names: []string{"m00001"}}
		return testing.AllocsPerRun(10, func() { read(table, one) })
	}
	for name, read := range map[string]func(*Table, Selection){
		"Names":  func(t *Table, s Selection) { t.Names(s) },
		"Series": func(t *Table, s Selection) { t.Series(s) },
		"Last":   func(t *Table, s Selection) { t.Last(s, 1) },
		"Stats":  func(t *Table, s Selection) { t.Stats(s) },
	} {
		t.Run(name+" of one metric does not read the others", func(t *testing.T) {
			if few, many := allocs(2, read), allocs(1000, read); many > few {
				t.Errorf("%v allocations beside 1 metric, %v beside 999", few, many)
			}
		})
	}
}

func TestTable_Selection(t *testing.T) {
	table := NewTable()
	put(table, 1, 1, number("a", 1), number("b/1", 1), number("b/2", 1), number("c", 1))
	table.AddIndeterminate("b/null", 2)
	table.Compact()
	for _, test := range []struct {
		name      string
		selection Selection
		want      string
	}{
		{"everything", Selection{}, "[a b/1 b/2 b/null c]"},
		{"names in another order, twice and unknown", Selection{Names: []string{"c", "a", "a", "x"}}, "[a c]"},
		{"a prefix", Selection{Prefixes: []string{"b/"}}, "[b/1 b/2 b/null]"},
		{"a name that a prefix selects too", Selection{Names: []string{"b/1", "c"}, Prefixes: []string{"b/", "b"}}, "[b/1 b/2 b/null c]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fmt.Sprint(table.Names(test.selection)); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}
