package runcache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

func TestCache_MergedTable(t *testing.T) {
	const small, large = 50, runsource.SmallTable + 50
	tests := []struct {
		name   string
		steps  int
		cost   time.Duration
		ended  bool
		later  time.Duration
		change func(*runsourcetest.FileSource)
		probes int
		reads  int  // whole tables, the first one included
		isNew  bool // the change is seen
	}{
		{"is cached for a second", small, 0, false, 900 * time.Millisecond, (*runsourcetest.FileSource).Grow, 0, 1, false},
		{"is cached for a multiple of its cost", large, 3 * time.Second, false, 14 * time.Second, (*runsourcetest.FileSource).Grow, 0, 1, false},
		{"is read again when it is small", small, 0, false, 2 * time.Second, (*runsourcetest.FileSource).Backfill, 0, 2, true},
		{"is probed if large, and kept if unchanged", large, 0, false, 2 * time.Second, func(*runsourcetest.FileSource) {}, 1, 1, false},
		{"is read again when the probe shows a new step", large, 0, false, 2 * time.Second, (*runsourcetest.FileSource).Grow, 1, 2, true},
		{"hides what was written to old steps for a while", large, 0, false, 9 * time.Second, (*runsourcetest.FileSource).Backfill, 1, 1, false},
		{"is read again at the latest after ten seconds", large, 0, false, 11 * time.Second, (*runsourcetest.FileSource).Backfill, 0, 2, true},
		{"is read again at the latest after a multiple of its cost", large, 3 * time.Second, false, 61 * time.Second, (*runsourcetest.FileSource).Backfill, 0, 2, true},
		{"is only probed once the run has ended", large, 0, true, time.Hour, func(*runsourcetest.FileSource) {}, 1, 1, false},
		{"is read again when an ended run continues", large, 0, true, time.Hour, (*runsourcetest.FileSource).Grow, 1, 2, true},
	}
	for _, tt := range tests {
		t.Run("a table "+tt.name, func(t *testing.T) {
			src := &runsourcetest.FileSource{NotServed: true, Table: runsourcetest.TableOf(tt.steps), Ended: tt.ended, TableCost: tt.cost, Clock: runsourcetest.NewClock()}
			c := newTestCache(t, Config{})
			c.now = src.Clock.Now
			before, view := read(t, c, src)
			if len(before) != tt.steps || view.Origin != runsource.FromMergedTable {
				t.Fatalf("first %d steps of %+v", len(before), view)
			}
			src.Clock.Advance(tt.later)
			tt.change(src)
			after, _ := read(t, c, src)
			if isNew := fmt.Sprint(before) != fmt.Sprint(after); src.Probes != tt.probes || src.Reads != tt.reads || isNew != tt.isNew {
				t.Errorf("%d probes, %d reads, new: %t; want %d, %d, %t", src.Probes, src.Reads, isNew, tt.probes, tt.reads, tt.isNew)
			}
		})
	}
}

func TestCache_CountsRowsWithoutAUsableStep(t *testing.T) {
	src := &runsourcetest.FileSource{NotServed: true, Table: runsourcetest.TableOf(3), LinesWithoutStep: 2, File: []byte(runsourcetest.Lines(0, 7)), Clock: runsourcetest.NewClock()}
	c := newTestCache(t, Config{})
	c.now = src.Clock.Now
	if got, view := read(t, c, src); len(got) != 3 || view.LinesWithoutStep != 2 {
		t.Errorf("%d steps of %+v", len(got), view)
	}
	leftOut, err := runsource.Stream(t.Context(), nil, src, eventlog.Selection{}, func(origin runsource.Origin, series []eventlog.Series) error {
		if origin != runsource.FromMergedTable || len(series) != 1 || series[0].Len() != 3 {
			t.Errorf("streamed %+v from %v", series, origin)
		}
		return nil
	})
	if err != nil || leftOut.LinesWithoutStep != 2 {
		t.Errorf("left out %+v, %v", leftOut, err)
	}
	src.Set(func() { src.NotServed = false })
	src.Clock.Advance(2 * time.Second)
	if got, view := read(t, c, src); len(got) != 7 || view.LinesWithoutStep != 0 {
		t.Errorf("then from the event file: %d steps of %+v", len(got), view)
	}
}

func TestCache_ViewerChangesGeneration(t *testing.T) {
	src := &runsourcetest.FileSource{NotServed: true, Table: runsourcetest.TableOf(3), Nulls: map[string]int{"loss": 2}, File: []byte(runsourcetest.Lines(0, 7)), Clock: runsourcetest.NewClock()}
	c := newTestCache(t, Config{})
	c.now = src.Clock.Now
	if got, view := read(t, c, src); len(got) != 3 || view.Origin != runsource.FromMergedTable {
		t.Errorf("0.5: %d steps of %+v", len(got), view)
	}
	src.Set(func() { src.NotServed = false })
	src.Clock.Advance(2 * time.Second)
	if got, view := read(t, c, src); len(got) != 7 || view.Origin != runsource.FromEventLog {
		t.Errorf("then 0.6: %d steps of %+v", len(got), view)
	}
	src.Set(func() { src.NotServed = true })
	err := c.Read(t.Context(), runsourcetest.TheRun, src, func(v *View) error {
		if v.Table.Rows() != 3 || v.Table.Indeterminate("loss") != 2 {
			t.Errorf("then 0.5 again: %d rows, %d nulls", v.Table.Rows(), v.Table.Indeterminate("loss"))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	src.Set(func() { src.Deleted = true })
	src.Clock.Advance(2 * time.Second)
	if _, _, err := tryRead(t.Context(), c, runsourcetest.TheRun, src); !errors.Is(err, runsource.ErrRunNotFound) {
		t.Errorf("then no run: %v", err)
	}
	if c.Stats() != (Stats{}) {
		t.Errorf("the cache still holds %+v", c.Stats())
	}
}
