package search

import (
	"fmt"
	"runtime"
	"strconv"
	"testing"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// The memory that records take, in the map of an index and with interned names, must agree
// with the estimate, and with the documented bound of 1 KiB for each run and 160 bytes for
// each of its metrics.
func TestRecord_EstimatesItsMemory(t *testing.T) {
	const runs = 5000
	for _, metrics := range []int{0, 8, 100} {
		var names interner
		var estimated int64
		entries := map[string]*entry{}
		before := heap()
		for i := range runs / max(1, metrics/8) {
			r := &Record{Metrics: make([]Metric, 0, metrics)}
			for m := range metrics {
				r.Metrics = append(r.Metrics, Metric{Name: names.share(fmt.Sprintf("metric %d", m)), Kind: eventlog.KindNumber})
			}
			entries["20260101_120000_"+strconv.Itoa(i)] = &entry{record: r}
			estimated += r.bytes()
		}
		taken := heap() - before
		n := int64(len(entries))
		t.Logf("%d metrics: %d bytes per run, estimated as %d", metrics, taken/n, estimated/n)
		if bound := n * int64(1024+160*metrics); taken > bound || taken > estimated*5/4 || estimated > bound {
			t.Errorf("%d metrics: %d bytes, estimated as %d, bound %d", metrics, taken, estimated, bound)
		}
		runtime.KeepAlive(entries)
	}
}

// heap is the heap in use, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // sweeps what the first one has freed
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // no heap is so large
}
