package follow

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource/runsourcetest"
)

// newTableSource returns a run of a Viewer without event files.
func newTableSource(rows ...eventlog.Row) *liveSource {
	return &liveSource{FileSource: &runsourcetest.FileSource{NotServed: true, Table: rows}, text: "running"}
}

// cells returns the last value that a client was sent for each cell.
func (c *client) cells() map[string]float64 {
	last := map[string]float64{}
	for _, p := range c.points {
		last[fmt.Sprint(p.Step, " ", p.Name)] = p.Value
	}
	return last
}

// tableCalls returns how often the table was read and probed.
func (s *liveSource) tableCalls() (reads, probes int) {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	return s.Reads, s.Probes
}

// truth returns the cells of the table.
func (s *liveSource) truth() map[string]float64 {
	s.Mu.Lock()
	defer s.Mu.Unlock()
	last := map[string]float64{}
	for _, row := range s.Table {
		for _, c := range row.Cells {
			if c.Kind != eventlog.KindNone {
				last[fmt.Sprint(row.Step, " ", c.Name)] = c.Number
			}
		}
	}
	return last
}

func TestFollow_SendsTableDifferences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTableSource(runsourcetest.RowOf(1, 1), runsourcetest.RowOf(3, 3))
		h := newTestHub(t, HubConfig{})
		c := follow(t, h, src, runsource.Beginning(), UntilEnded)
		now := follow(t, h, src, runsource.Now(), UntilEnded)
		c.wait(3 * time.Second)
		now.wait(time.Second)
		c.check([]runsourcetest.Point{{Name: "a", Step: 1, Value: 1}, {Name: "a", Step: 3, Value: 3}}, "caught up")
		src.Set(func() {
			src.Table = []eventlog.Row{runsourcetest.RowOf(1, 1, 10), runsourcetest.RowOf(2, 2), runsourcetest.RowOf(3, 4), runsourcetest.RowOf(4, 4)}
		})
		c.points = nil
		c.wait(6 * time.Second)
		now.wait(time.Second)
		updates := []runsourcetest.Point{
			{Name: "b", Step: 1, Value: 10}, {Name: "a", Step: 2, Value: 2}, {Name: "a", Step: 3, Value: 4}, {Name: "a", Step: 4, Value: 4},
		}
		slices.SortStableFunc(c.points, func(a, b runsourcetest.Point) int { return int(a.Step - b.Step) })
		slices.SortStableFunc(now.points, func(a, b runsourcetest.Point) int { return int(a.Step - b.Step) })
		c.check(updates, "caught up")
		now.check(updates, "caught up")

		same := follow(t, newTestHub(t, HubConfig{}), src, c.at, UntilEnded)
		same.wait(3 * time.Second)
		same.check(nil, "caught up")
		src.Set(func() { src.Table = append(src.Table, runsourcetest.RowOf(5, 5)) })
		same.wait(8 * time.Second)
		same.check([]runsourcetest.Point{{Name: "a", Step: 5, Value: 5}}, "caught up")

		src.Set(func() { src.Table = src.Table[:2] })
		c.wait(8 * time.Second)
		c.check([]runsourcetest.Point{{Name: "a", Step: 1, Value: 1}, {Name: "a", Step: 2, Value: 2}, {Name: "b", Step: 1, Value: 10}}, "caught up", "reset truncated", "caught up")
		src.setStatus("finished")
		c.wait(time.Minute)
		c.check(c.points, "caught up", "reset truncated", "caught up", "state finished", "end 1 finished")
	})
}

func TestFollow_CountsTableRowsWithoutAUsableStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTableSource(runsourcetest.RowOf(1, 1))
		h := newTestHub(t, HubConfig{})
		c := follow(t, h, src, runsource.Beginning(), UntilEnded)
		c.wait(3 * time.Second)
		src.Set(func() { src.LinesWithoutStep = 2 })
		c.wait(6 * time.Second)
		late := follow(t, h, src, runsource.Beginning(), UntilEnded)
		late.wait(3 * time.Second)
		for i, c := range []*client{c, late} {
			if got := c.cursor.Health().Counts.LinesWithoutStep; got != 2 {
				t.Errorf("client %d: %d rows are counted, want 2", i, got)
			}
			c.check([]runsourcetest.Point{{Name: "a", Step: 1, Value: 1}}, "caught up")
		}
	})
}

func TestFollow_RereadsTheTableAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newTableSource()
		for step := range int64(runsource.SmallTable + 10) {
			src.Table = append(src.Table, runsourcetest.RowOf(step, float64(step)))
		}
		c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
		c.wait(3 * time.Second)
		src.Set(func() { src.Table[7] = runsourcetest.RowOf(7, 99) }) // a probe does not show it
		c.wait(time.Minute)
		if reads, probes := src.tableCalls(); reads != 1 || probes < 5 {
			t.Errorf("%d reads and %d probes", reads, probes)
		}
		src.setStatus("finished")
		c.wait(time.Minute)
		reads, _ := src.tableCalls()
		if diff := cmp.Diff(src.truth(), c.cells()); diff != "" || !c.ended || reads > 3 {
			t.Errorf("over: %t after %d reads, cells (-want +got):\n%s", c.ended, reads, diff)
		}
	})
}

func TestFollow_SwitchesSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newLiveSource(runsourcetest.Lines(0, 3))
		src.Table = []eventlog.Row{runsourcetest.RowOf(1, 1)}
		c := follow(t, newTestHub(t, HubConfig{}), src, runsource.Beginning(), UntilEnded)
		c.wait(2 * time.Second)
		src.Set(func() { src.Whole = true })
		c.wait(8 * time.Second)
		c.check([]runsourcetest.Point{{Name: "a", Step: 1, Value: 1}}, "caught up", "reset source changed", "caught up")
		src.Set(func() { src.Whole, src.down = false, errors.New("exchanged") })
		c.wait(8 * time.Second)
		src.Set(func() { src.down = nil })
		c.wait(8 * time.Second)
		c.check(runsourcetest.Points(0, 3, 0), "caught up", "reset source changed", "caught up", "reset source changed", "caught up")
		src.Set(func() { src.Whole = true })
		late := follow(t, newTestHub(t, HubConfig{}), src, c.at, UntilEnded)
		late.wait(2 * time.Second)
		late.check([]runsourcetest.Point{{Name: "a", Step: 1, Value: 1}}, "reset source changed", "caught up")
	})
}

// The client ends with the table's last value of each cell, however slow it is and however
// small the window.
func TestFollow_SendsEachTableChangeOnce(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 5))
			src := newTableSource()
			h := newTestHub(t, HubConfig{MaxRunBytes: 4 << 10})
			other := newTestHub(t, HubConfig{})
			fast, slow := follow(t, h, src, runsource.Beginning(), UntilEnded), follow(t, h, src, runsource.Beginning(), UntilEnded)
			resuming := &client{t: t}
			table := map[int64]eventlog.Row{}
			for range 30 {
				for range r.IntN(200) {
					step := r.Int64N(300)
					values := make([]float64, 1+r.IntN(4))
					for i := range values {
						values[i] = r.Float64()
					}
					row := runsourcetest.RowOf(step, values...)
					for i, c := range table[step].Cells {
						if i >= len(row.Cells) {
							row.Cells = append(row.Cells, c)
						}
					}
					table[step] = row
				}
				src.Set(func() {
					src.Table = nil
					for _, step := range slices.Sorted(maps.Keys(table)) {
						src.Table = append(src.Table, table[step])
					}
				})
				fast.wait(3 * time.Second)
				if r.IntN(4) == 0 {
					item, err := slow.cursor.Next(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					slow.record(item)
				}
				if r.IntN(2) == 0 {
					resuming.cursor, _ = []*Hub{h, other}[r.IntN(2)].Follow(runsourcetest.TheRun, src, nil, resuming.at, UntilEnded)
					resuming.wait(time.Duration(1+r.IntN(3)) * time.Second)
					resuming.cursor.Close()
				}
			}
			src.setStatus("finished")
			resuming.cursor, _ = h.Follow(runsourcetest.TheRun, src, nil, resuming.at, UntilEnded)
			for i, c := range []*client{fast, slow, resuming} {
				c.wait(time.Minute)
				if diff := cmp.Diff(src.truth(), c.cells()); diff != "" || !c.ended {
					t.Fatalf("client %d, over: %t, cells (-want +got):\n%.800s", i, c.ended, diff)
				}
				for _, event := range c.trace {
					if event[:5] == "reset" {
						t.Errorf("client %d: %v", i, c.trace)
					}
				}
			}
			resuming.cursor.Close()
			seen := map[runsourcetest.Point]bool{}
			for _, p := range slow.points {
				if seen[p] {
					t.Fatalf("sent twice: %+v", p)
				}
				seen[p] = true
			}
		})
	}
}
