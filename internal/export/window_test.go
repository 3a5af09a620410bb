package export

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// TestWindows_CoverTheWholeTable puts the windows together again.
func TestWindows_CoverTheWholeTable(t *testing.T) {
	for name, steps := range map[string]func(i int) int64{
		"dense":     func(i int) int64 { return int64(i) },
		"far apart": func(i int) int64 { return int64(i) * 1_000_003 },
		"at both ends": func(i int) int64 {
			return map[bool]int64{false: math.MinInt64, true: math.MaxInt64 - 40_000}[i%2 == 0] + int64(i)
		},
		"sparse, then dense":  func(i int) int64 { return int64(min(i, 1000))*1_000_000 + int64(max(0, i-1000)) },
		"backward":            func(i int) int64 { return int64(-i) },
		"the greatest of all": func(i int) int64 { return math.MaxInt64 - int64(i) },
	} {
		t.Run(name, func(t *testing.T) {
			table := randomTable(20_000, steps)
			var got []eventlog.Series
			places := map[string]int{}
			last, isFirst := int64(0), true
			for w := range windows(table, eventlog.Selection{}, windowRows) {
				if len(w.steps) > 5*windowRows {
					t.Fatalf("a window of %d steps", len(w.steps))
				}
				if !isFirst && w.steps[0] <= last {
					t.Fatalf("a window begins at %d, the one before ends at %d", w.steps[0], last)
				}
				last, isFirst = w.steps[len(w.steps)-1], false
				for _, s := range w.series {
					got = join(got, places, &s)
				}
			}
			want := table.Series(eventlog.Selection{})
			if len(got) != len(want) {
				t.Errorf("%d series, want %d", len(got), len(want))
			}
			for _, s := range want {
				if at, ok := places[s.Name+kindNames[s.Kind]]; !ok || !isSame(&s, &got[at]) {
					t.Errorf("%s of %s differs", kindNames[s.Kind], s.Name)
				}
			}
		})
	}
}

// isSame compares all columns; cmp takes seconds for so many points.
func isSame(a, b *eventlog.Series) bool {
	return slices.Equal(a.Steps, b.Steps) && slices.Equal(a.Times, b.Times) && slices.Equal(a.Values, b.Values) &&
		slices.Equal(a.Texts, b.Texts) && slices.Equal(a.Exact, b.Exact)
}

// randomTable has a dense metric, a sparse one, and one of all kinds.
func randomTable(rows int, step func(int) int64) *eventlog.Table {
	random := rand.New(rand.NewPCG(1, 2))
	table := eventlog.NewTable()
	for i := range rows {
		row := &eventlog.Row{Step: step(i), Time: float64(i), HasTime: true}
		row.Cells = append(row.Cells, eventlog.Cell{Name: "dense", Kind: eventlog.KindNumber, Number: float64(i)})
		if random.IntN(97) == 0 {
			row.Cells = append(row.Cells, eventlog.Cell{Name: "sparse", Kind: eventlog.KindNumber, Number: float64(i)})
		}
		mixed := eventlog.Cell{Name: "mixed", Kind: eventlog.Kind(1 + i%3), Number: float64(i % 2)} //nolint:gosec // 1 to 3
		switch {
		case mixed.Kind == eventlog.KindText:
			mixed.Number, mixed.Text = 0, "t"
		case mixed.Kind == eventlog.KindNumber && i%5 == 0:
			mixed.Number, mixed.Exact = 1<<60, "1152921504606846977"
		}
		row.Cells = append(row.Cells, mixed)
		table.Put(row)
	}
	table.Compact()
	return table
}

// join appends the series to those of its name and kind.
func join(all []eventlog.Series, places map[string]int, s *eventlog.Series) []eventlog.Series {
	key := s.Name + kindNames[s.Kind]
	at, ok := places[key]
	if !ok {
		places[key] = len(all)
		return append(all, *s)
	}
	to := &all[at]
	for _, e := range s.Exact {
		to.Exact = append(to.Exact, eventlog.Exact{Index: e.Index + to.Len(), Text: e.Text})
	}
	to.Steps, to.Times = append(to.Steps, s.Steps...), append(to.Times, s.Times...)
	to.Values, to.Texts = append(to.Values, s.Values...), append(to.Texts, s.Texts...)
	return all
}

func TestSchema_DetectsChanges(t *testing.T) {
	table := randomTable(10, func(i int) int64 { return int64(i) })
	schema := NewSchema(false)
	schema.Add(table, eventlog.Selection{})
	wide, err := NewWide(CSV, discard{}, schema, nil)
	if err != nil {
		t.Fatal(err)
	}
	table.Put(&eventlog.Row{Step: 11, Cells: []eventlog.Cell{{Name: "new", Kind: eventlog.KindNumber}}})
	table.Compact()
	if err := wide.WriteRun(&Run{}, table, eventlog.Selection{}); err != ErrSchemaChanged { //nolint:errorlint // it is returned as it is
		t.Errorf("WriteRun = %v, want ErrChanged", err)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestSchema_TitlesAreUnique(t *testing.T) {
	table := eventlog.NewTable()
	table.Put(&eventlog.Row{Step: 1, Cells: []eventlog.Cell{
		{Name: "a", Kind: eventlog.KindNumber, Exact: "1152921504606846977"},
		{Name: "a#exact", Kind: eventlog.KindNumber},
		{Name: "run_id", Kind: eventlog.KindText, Text: "x"},
	}})
	table.Put(&eventlog.Row{Step: 2, Cells: []eventlog.Cell{{Name: "a", Kind: eventlog.KindText, Text: "x"}}})
	table.AddIndeterminate("never", 2)
	table.Compact()
	schema := NewSchema(true)
	schema.Add(table, eventlog.Selection{})
	var got []string
	for _, c := range schema.columns() {
		got = append(got, c.title)
	}
	want := []string{"a", "a#exact#", "a#text", "a#exact", "never", "run_id#"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// sparseTable has a value of another metric at each step.
func sparseTable(columns, rows int) *eventlog.Table {
	table := eventlog.NewTable()
	for step := range rows {
		table.Put(&eventlog.Row{Step: int64(step), Cells: []eventlog.Cell{{Name: "m" + strconv.Itoa(step%columns), Kind: eventlog.KindNumber, Number: 1}}})
	}
	table.Compact()
	return table
}

func TestSchema_RefusesSparseTables(t *testing.T) {
	for _, test := range []struct {
		columns, rows int
		refused       bool
	}{{2, 40_000, false}, {3000, 5000, false}, {3000, 7000, true}} {
		schema := NewSchema(false)
		schema.Add(sparseTable(test.columns, test.rows), eventlog.Selection{})
		if err := schema.CheckSize(); (err != nil) != test.refused {
			t.Errorf("%d columns, %d rows: %v", test.columns, test.rows, err)
		}
	}
}

// TestWide_OfManyColumnsIsWrittenInSmallBatches checks that no batch is larger than
// its bound.
func TestWide_OfManyColumnsIsWrittenInSmallBatches(t *testing.T) {
	const columns, rows = 3000, 4000
	got := 0
	eachBatch(t, Arrow, wideFile(t, Arrow, sparseTable(columns, rows)), func(batch arrow.RecordBatch) {
		got += int(batch.NumRows())
		if batch.NumRows()*batch.NumCols() > maxWindowCells+columns {
			t.Errorf("a batch of %d rows", batch.NumRows())
		}
	})
	if got != rows {
		t.Errorf("%d rows, want %d", got, rows)
	}
}
