package runlog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// tableOf is a merged table of n steps.
func tableOf(n int) []eventlog.Row {
	rows := make([]eventlog.Row, n)
	for i := range rows {
		rows[i] = eventlog.Row{
			Position: -1, Step: int64(i), Time: 1e9 + float64(i), HasTime: true,
			Cells: []eventlog.Cell{{Name: "loss", Kind: eventlog.KindNumber, Number: float64(i) + 0.125}},
		}
	}
	return rows
}

// rewrite changes a value at an old step, which no probe shows.
func (s *fileSource) rewrite(step int, value float64) {
	s.set(func() {
		row := s.table[step]
		row.Cells = []eventlog.Cell{{Name: "loss", Kind: eventlog.KindNumber, Number: value}}
		s.table[step] = row
	})
}

func TestCache_MergedTable(t *testing.T) {
	const small, large = 50, smallTable + 50
	tests := []struct {
		name   string
		steps  int
		cost   time.Duration
		ended  bool
		later  time.Duration
		change func(*fileSource)
		probes int
		reads  int  // whole tables, the first one included
		isNew  bool // the change is seen
	}{
		{"is believed for a second", small, 0, false, 900 * time.Millisecond, (*fileSource).grow, 0, 1, false},
		{"is believed for a multiple of its cost", large, 3 * time.Second, false, 14 * time.Second, (*fileSource).grow, 0, 1, false},
		{"is read again when it is small", small, 0, false, 2 * time.Second, (*fileSource).backfill, 0, 2, true},
		{"is probed when it is large, and kept when nothing shows", large, 0, false, 2 * time.Second, func(*fileSource) {}, 1, 1, false},
		{"is read again when the probe shows a new step", large, 0, false, 2 * time.Second, (*fileSource).grow, 1, 2, true},
		{"hides what was written to old steps for a while", large, 0, false, 9 * time.Second, (*fileSource).backfill, 1, 1, false},
		{"is read again at the latest after ten seconds", large, 0, false, 11 * time.Second, (*fileSource).backfill, 0, 2, true},
		{"is read again at the latest after a multiple of its cost", large, 3 * time.Second, false, 61 * time.Second, (*fileSource).backfill, 0, 2, true},
		{"is only probed once the run has ended", large, 0, true, time.Hour, func(*fileSource) {}, 1, 1, false},
		{"is read again when an ended run goes on", large, 0, true, time.Hour, (*fileSource).grow, 1, 2, true},
	}
	for _, tt := range tests {
		t.Run("a table "+tt.name, func(t *testing.T) {
			src := &fileSource{notServed: true, table: tableOf(tt.steps), ended: tt.ended, tableCost: tt.cost, clock: newClock()}
			c := newTestCache(t, CacheConfig{Now: src.clock.Now})
			before, view := read(t, c, src)
			if len(before) != tt.steps || view.Origin != FromMergedTable {
				t.Fatalf("first %d steps of %+v", len(before), view)
			}
			src.clock.advance(tt.later)
			tt.change(src)
			after, _ := read(t, c, src)
			if isNew := fmt.Sprint(before) != fmt.Sprint(after); src.probes != tt.probes || src.reads != tt.reads || isNew != tt.isNew {
				t.Errorf("%d probes, %d reads, new: %t; want %d, %d, %t", src.probes, src.reads, isNew, tt.probes, tt.reads, tt.isNew)
			}
		})
	}
}

func (s *fileSource) grow()     { s.set(func() { s.table = tableOf(len(s.table) + 1) }) }
func (s *fileSource) backfill() { s.rewrite(3, -1) }

func TestCache_CountsRowsWithoutAUsableStep(t *testing.T) {
	src := &fileSource{notServed: true, table: tableOf(3), unplaced: 2, file: []byte(lines(0, 7)), clock: newClock()}
	c := newTestCache(t, CacheConfig{Now: src.clock.Now})
	if got, view := read(t, c, src); len(got) != 3 || view.LinesWithoutStep != 2 {
		t.Errorf("%d steps of %+v", len(got), view)
	}
	done, err := Stream(t.Context(), src, eventlog.Selection{}, func([]eventlog.Series) error { return nil })
	if err != nil || done.Points != 3 || done.LinesWithoutStep != 2 {
		t.Errorf("streamed %+v, %v", done, err)
	}
	src.set(func() { src.notServed = false })
	src.clock.advance(2 * time.Second)
	if got, view := read(t, c, src); len(got) != 7 || view.LinesWithoutStep != 0 {
		t.Errorf("then from the event file: %d steps of %+v", len(got), view)
	}
}

func TestCache_ViewerChangesGeneration(t *testing.T) {
	src := &fileSource{notServed: true, table: tableOf(3), nulls: map[string]int{"loss": 2}, file: []byte(lines(0, 7)), clock: newClock()}
	c := newTestCache(t, CacheConfig{Now: src.clock.Now})
	if got, view := read(t, c, src); len(got) != 3 || view.Origin != FromMergedTable {
		t.Errorf("0.5: %d steps of %+v", len(got), view)
	}
	src.set(func() { src.notServed = false })
	src.clock.advance(2 * time.Second)
	if got, view := read(t, c, src); len(got) != 7 || view.Origin != FromEventLog {
		t.Errorf("then 0.6: %d steps of %+v", len(got), view)
	}
	src.set(func() { src.notServed = true })
	err := c.Read(t.Context(), theRun, src, func(v *View) error {
		if v.Table.Rows() != 3 || v.Table.Indeterminate("loss") != 2 {
			t.Errorf("then 0.5 again: %d rows, %d nulls", v.Table.Rows(), v.Table.Indeterminate("loss"))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	src.set(func() { src.deleted = true })
	src.clock.advance(2 * time.Second)
	if _, _, err := tryRead(t.Context(), c, theRun, src); !errors.Is(err, ErrRunNotFound) {
		t.Errorf("then no run: %v", err)
	}
	if c.Stats() != (CacheStats{}) {
		t.Errorf("the cache still holds %+v", c.Stats())
	}
}
