package search

import (
	"context"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
)

// The measured cost for the Viewer decides how runs are read: one by one, or many together.
//
// On 0.5 and 0.6, each request about one run makes the Viewer scan all run folders, which
// takes tens of milliseconds with thousands of runs. 0.7 has an index, and a request takes it
// about four milliseconds. On 0.6, a zip archive of a folder of runs costs one scan, about a
// millisecond for each run, and the compression of their logs, about 30 ms per megabyte. But
// the Viewer responds to no other request while it packs. So the first runs are read one by
// one, or the size of one log is requested, which measures the cost of a single read. After
// that, the runs at or below a path are read together if that is expected to cost less and to
// take no longer than maxPacking. The measured time corrects the expectation.
//
// If only summaries are needed, one request returns those of all runs of a path, on every
// Viewer that has paths. It costs as much as three files of one run.

const (
	// maxPacking bounds the expected packing time of an archive, because foreground calls wait
	// for it. For a Viewer that is so slow that slowReads single reads take longer, the bound
	// is their duration: calls would wait as long for them.
	maxPacking = 300 * time.Millisecond
	slowReads  = 3
	// foregroundReads is the maximum number of runs of one Viewer that are read concurrently
	// for waiting callers. maxBlocking bounds their expected total duration, as a Viewer
	// handles one request at a time.
	foregroundReads = 4
	maxBlocking     = 200 * time.Millisecond
	// MinArchived is the minimum number of wanted runs for an archive.
	MinArchived = 3
	// archiveGain is the maximum cost of an archive, as a fraction of the cost of the single
	// reads that it replaces.
	archiveGain = 0.8

	// The expectation before the first archive: the time of a scan as a multiple of a single
	// read, the time per run, and the time per byte to compress.
	expectedScan    = 1.0
	expectedPerRun  = 700 * time.Microsecond
	expectedPerByte = 30 * time.Nanosecond
)

// costs is the measured cost of reading from one Viewer.
type costs struct {
	reads  int
	single time.Duration // duration of reading one run, smoothed
	logs   int
	bytes  float64 // size of an event log, smoothed

	// The packing time of an archive in nanoseconds: fixed, per run, and per byte. Set by
	// expect before the first archive.
	archives              int
	scan, perRun, perByte float64
}

const (
	smoothing = 0.2
	// decay is the fraction by which each single read moves the measured packing time
	// back to the initial expectation. Without it, one unusually slow archive would be the
	// last one.
	decay = 0.02
)

func smooth(old, value float64, isFirst bool) float64 {
	if isFirst {
		return value
	}
	return old + smoothing*(value-old)
}

// addSingle records the duration of a single read. If single reads become slower, for example
// because of other load on the Viewer's machine, packing is assumed to become slower by the
// same factor.
func (c *costs) addSingle(cost time.Duration) {
	old := float64(c.single)
	c.single = time.Duration(smooth(old, float64(cost), c.reads == 0))
	c.reads++
	if c.archives > 0 && old > 0 {
		c.scale(float64(c.single) / old)
		c.scan += decay * (expectedScan*float64(c.single) - c.scan)
		c.perRun += decay * (float64(expectedPerRun) - c.perRun)
		c.perByte += decay * (float64(expectedPerByte) - c.perByte)
	}
}

// scale multiplies the expected packing time.
func (c *costs) scale(factor float64) {
	c.scan, c.perRun, c.perByte = c.scan*factor, c.perRun*factor, c.perByte*factor
}

// maxReads is the number of runs to read concurrently. The first run is read alone.
func (c *costs) maxReads() int {
	if c.reads == 0 {
		return 1
	}
	return int(min(foregroundReads, max(1, maxBlocking/max(c.single, 1))))
}

// addLog records the size of an event log.
func (c *costs) addLog(bytes int64) {
	c.bytes = smooth(c.bytes, float64(bytes), c.logs == 0)
	c.logs++
}

// expect sets the initial expectation, unless an archive was measured.
func (c *costs) expect() {
	if c.archives == 0 {
		c.scan, c.perRun, c.perByte = expectedScan*float64(c.single), float64(expectedPerRun), float64(expectedPerByte)
	}
}

// expected is the expected packing time of a number of runs.
func (c *costs) expected(runs int) time.Duration {
	c.expect()
	return time.Duration(c.scan + float64(runs)*(c.perRun+c.perByte*c.bytes))
}

// addArchive records the packing time of an archive. The deviation from the expectation
// scales all of its terms.
func (c *costs) addArchive(packing time.Duration, runs int, bytes int64) {
	factor := smooth(1, float64(packing)/max(float64(c.expected(runs)), 1), c.archives == 0)
	c.scale(factor)
	c.bytes = smooth(c.bytes, float64(bytes)/float64(runs), false)
	c.archives++
}

// prefersArchive reports whether to read a number of wanted runs from an archive of all runs
// of their path.
func (c *costs) prefersArchive(wanted, runs int) bool {
	if wanted < MinArchived || c.reads == 0 || c.logs == 0 {
		return false
	}
	expected := c.expected(max(runs, wanted))
	return expected <= max(maxPacking, slowReads*c.single) && float64(expected) < archiveGain*float64(wanted)*float64(c.single)
}

// measure requests the size of a log: an archive contains the logs even if no job needs
// metrics, and its cost depends on their size. No other foreground read starts meanwhile.
// Called with mu held, which it releases during the request.
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

// endSingle ends a single read and records its cost, which is the duration divided by the
// number of concurrent reads.
func (v *viewer) endSingle(cost time.Duration, r *runReader, err error) {
	v.index.mu.Lock()
	defer v.index.mu.Unlock()
	v.reading--
	if err != nil {
		return
	}
	if v.costs.addSingle(cost); r.record.known&PartMetrics != 0 {
		v.costs.addLog(r.record.checkpoint.offset)
	}
}
