package search

import (
	"context"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// How many runs are read is decided by what it costs the Viewer, as measured.
//
// A request about one run costs 0.5 and 0.6 a look at all run folders, tens of
// milliseconds with thousands of runs; 0.7 has an index, and a request costs it four. On 0.6
// a zip of a folder of runs costs that look once, about a millisecond for each run, and the
// compression of their logs, some 30 ms per megabyte. But the Viewer stands still while it
// packs. So the first runs are read one by one, or the log of one is asked for its size, which
// measures that, and then those at or below a path together if that is expected to cost less
// and to take no longer than maxPacking; what it took corrects the expectation.
//
// Summaries alone come with one request for all runs of a path, on every Viewer that has
// paths: that costs as much as three files of one run.

const (
	// maxPacking is how long the Viewer may be expected to pack: foreground calls wait as
	// long, and then for their own turn. A Viewer that is so slow that slowReads single reads
	// take longer may pack as long as they: calls would wait for them too.
	maxPacking = 300 * time.Millisecond
	slowReads  = 3
	// minArchived is the least number of wanted runs for an archive.
	minArchived = 3
	// archiveGain is how much cheaper an archive must be expected to be.
	archiveGain = 0.8

	// What is expected before the first archive: a look at all folders as a multiple of a
	// single read, time for each run, and time for each byte that is compressed.
	expectedScan    = 1.0
	expectedPerRun  = 700 * time.Microsecond
	expectedPerByte = 30 * time.Nanosecond
)

// costs is what reading has cost one Viewer.
type costs struct {
	reads  int
	single time.Duration // of reading one run, smoothed
	logs   int
	bytes  float64 // of an event log, smoothed

	// What packing takes in nanoseconds: at all, for each run, and for each byte. Nothing
	// before the first archive.
	archives              int
	scan, perRun, perByte float64
}

const (
	smoothing = 0.2
	// forgetting is how much of what archives have cost each single read forgets: one that
	// took unusually long must not be the last.
	forgetting = 0.02
)

func smooth(old, value float64, isFirst bool) float64 {
	if isFirst {
		return value
	}
	return old + smoothing*(value-old)
}

// addSingle notes what reading one run cost. What slows single reads, such as other work on
// the Viewer's machine, slows packing as well.
func (c *costs) addSingle(cost time.Duration) {
	old := float64(c.single)
	c.single = time.Duration(smooth(old, float64(cost), c.reads == 0))
	c.reads++
	if c.archives > 0 && old > 0 {
		c.scale(float64(c.single) / old)
		c.scan += forgetting * (expectedScan*float64(c.single) - c.scan)
		c.perRun += forgetting * (float64(expectedPerRun) - c.perRun)
		c.perByte += forgetting * (float64(expectedPerByte) - c.perByte)
	}
}

// scale makes packing so many times as expensive.
func (c *costs) scale(factor float64) {
	c.scan, c.perRun, c.perByte = c.scan*factor, c.perRun*factor, c.perByte*factor
}

// addLog notes how large an event log is.
func (c *costs) addLog(bytes int64) {
	c.bytes = smooth(c.bytes, float64(bytes), c.logs == 0)
	c.logs++
}

// expect makes an expectation where nothing was measured.
func (c *costs) expect() {
	if c.archives == 0 {
		c.scan, c.perRun, c.perByte = expectedScan*float64(c.single), float64(expectedPerRun), float64(expectedPerByte)
	}
}

// expected is how long packing so many runs will take.
func (c *costs) expected(runs int) time.Duration {
	c.expect()
	return time.Duration(c.scan + float64(runs)*(c.perRun+c.perByte*c.bytes))
}

// addArchive notes how long packing took. What it took differently from what was expected is
// divided among the parts as they were.
func (c *costs) addArchive(packing time.Duration, runs int, bytes int64) {
	factor := smooth(1, float64(packing)/max(float64(c.expected(runs)), 1), c.archives == 0)
	c.scale(factor)
	c.bytes = smooth(c.bytes, float64(bytes)/float64(runs), false)
	c.archives++
}

// prefersArchive says whether so many wanted runs are read better in an archive of all runs
// of their path.
func (c *costs) prefersArchive(wanted, runs int) bool {
	if wanted < minArchived || c.reads == 0 || c.logs == 0 {
		return false
	}
	expected := c.expected(max(runs, wanted))
	return expected <= max(maxPacking, slowReads*c.single) && float64(expected) < archiveGain*float64(wanted)*float64(c.single)
}

// measure asks for the size of a log: an archive has the logs even where nobody wants them.
// The others wait meanwhile. Called with mu held, which it gives up.
func (v *viewer) measure(ctx context.Context, j *job) {
	ctx, waited := restclient.Yielding(ctx)
	v.packing = true
	v.index.mu.Unlock()
	start := v.index.now()
	size, err := v.reader(j).logSize(ctx)
	cost := v.index.now().Sub(start) - waited()
	v.index.mu.Lock()
	v.packing = false
	if err == nil {
		v.costs.addSingle(cost)
		v.costs.addLog(size)
	}
	v.startWorkers()
}

// endSingle notes that a run was read and what that cost; reads beside it have divided the
// Viewer's time.
func (v *viewer) endSingle(cost time.Duration, r *runReader, err error) {
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	v.reading--
	if err != nil {
		return
	}
	if v.costs.addSingle(cost); r.record.known&PartMetrics != 0 {
		v.costs.addLog(r.record.mark.offset)
	}
}
