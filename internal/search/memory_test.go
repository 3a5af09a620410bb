package search

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// TestRecord_TakesWhatItSays compares the memory that records really take, in an index's
// map and with names that all runs share, with what is counted, and with what is promised:
// 1 KiB for each run, and 160 bytes for each of its metrics.
func TestRecord_TakesWhatItSays(t *testing.T) {
	const runs = 5000
	for _, metrics := range []int{0, 8, 100} {
		var names interner
		var counted int64
		entries := map[string]*entry{}
		before := heap()
		for i := range runs / max(1, metrics/8) {
			r := &Record{Metrics: make([]Metric, 0, metrics)}
			for m := range metrics {
				r.Metrics = append(r.Metrics, Metric{Name: names.share(fmt.Sprintf("metric %d", m)), Kind: eventlog.KindNumber})
			}
			entries["20260101_120000_"+strconv.Itoa(i)] = &entry{record: r}
			counted += r.bytes()
		}
		taken := heap() - before
		n := int64(len(entries))
		t.Logf("%d metrics: %d bytes per run, counted as %d", metrics, taken/n, counted/n)
		if promised := n * int64(1024+160*metrics); taken > promised || taken > counted*5/4 || counted > promised {
			t.Errorf("%d metrics: %d bytes, counted as %d, promised %d", metrics, taken, counted, promised)
		}
		runtime.KeepAlive(entries)
	}
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has freed is swept
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no heap is so large
}
