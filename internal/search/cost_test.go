package search

import (
	"testing"
	"time"
)

// viewerModel is the cost of reading from a Viewer.
type viewerModel struct {
	single, scan, perRun time.Duration
}

func (m *viewerModel) packing(runs int) time.Duration { return m.scan + time.Duration(runs)*m.perRun }

func TestCosts_PreferTheCheaperWay(t *testing.T) {
	for _, tt := range []struct {
		name       string
		viewer     viewerModel
		sizes      []int // of paths, in the order in which they are read
		archived   int   // number of paths that are read from archives
		maxBlocked time.Duration
	}{
		{"0.6.0 with 5,000 runs of short logs", viewerModel{95 * time.Millisecond, 120 * time.Millisecond, 1100 * time.Microsecond}, []int{50, 50, 50, 100, 20, 50}, 6, 400 * time.Millisecond},
		{"0.6.0 with a path that is too large", viewerModel{39 * time.Millisecond, 80 * time.Millisecond, 1100 * time.Microsecond}, []int{50, 2000, 50}, 2, 400 * time.Millisecond},
		{"0.7.2, whose single reads are cheaper than the first archive", viewerModel{3700 * time.Microsecond, 30 * time.Millisecond, 4 * time.Millisecond}, []int{50, 50, 20, 100}, 1, 400 * time.Millisecond},
		{"paths of two runs", viewerModel{95 * time.Millisecond, 120 * time.Millisecond, 1100 * time.Microsecond}, []int{2, 2, 2}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c costs
			for range foregroundReads {
				c.addSingle(tt.viewer.single)
				c.addLog(60_000)
			}
			archived := 0
			for _, n := range tt.sizes {
				if !c.prefersArchive(n, n) {
					continue
				}
				archived++
				packing := tt.viewer.packing(n)
				if packing > tt.maxBlocked {
					t.Errorf("%d runs block the Viewer for %v", n, packing)
				}
				c.addArchive(packing, n, int64(n)*60_000)
			}
			if archived != tt.archived {
				t.Errorf("%d archives, want %d; %+v", archived, tt.archived, c)
			}
		})
	}
}

func TestCosts_PermitArchivesAgainAfterASlowOne(t *testing.T) {
	var c costs
	c.addSingle(95 * time.Millisecond)
	c.addLog(60_000)
	if !c.prefersArchive(50, 50) {
		t.Fatal("no archive initially")
	}
	c.addArchive(20*time.Second, 50, 50*60_000)
	if c.prefersArchive(50, 50) {
		t.Fatal("an archive immediately after a slow one")
	}
	for reads := 0; !c.prefersArchive(50, 50); reads++ {
		if c.addSingle(95 * time.Millisecond); reads > 500 {
			t.Fatal("still no archive after 500 reads")
		}
	}
}
