package search

import "time"

// How many runs are read is decided by what it costs the Viewer, as measured.
//
// A request about one run costs 0.5 and 0.6 a look at all run folders, tens of
// milliseconds with thousands of runs; 0.7 has an index, and a request costs it four. A zip
// of all runs of a path costs that look once or twice, and then about a millisecond for each
// run, and more for long logs, which are compressed. But the Viewer stands still while it
// packs. So the first runs are read one by one, which measures that, and then the runs of a
// path together if that is expected to cost less and to take no longer than maxPacking;
// what it took corrects the expectation.

const (
	// maxPacking is how long the Viewer may be expected to pack: foreground calls wait as
	// long.
	maxPacking = 300 * time.Millisecond
	// minArchived is the least number of wanted runs for an archive.
	minArchived = 3
	// measuredReads is after how many single reads their cost is known.
	measuredReads = 4
	// archiveGain is how much cheaper an archive must be expected to be.
	archiveGain = 0.8

	// What is expected before the first archive: a look at all folders as a multiple of a
	// single read, time for each run, and time for each byte that is compressed.
	expectedScan    = 2.5
	expectedPerRun  = 1500 * time.Microsecond
	expectedPerByte = 25 * time.Nanosecond
)

// costs is what reading has cost one Viewer.
type costs struct {
	reads  int
	single time.Duration // of reading one run, smoothed
	bytes  float64       // of an event log, smoothed

	archives      int
	scan, perByte float64 // nanoseconds of a pack: at all, and for each byte expected in it
}

const smoothing = 0.2

func smooth(old, value float64, isFirst bool) float64 {
	if isFirst {
		return value
	}
	return old + smoothing*(value-old)
}

// addSingle notes what reading one run cost.
func (c *costs) addSingle(cost time.Duration, bytes int64) {
	c.single = time.Duration(smooth(float64(c.single), float64(cost), c.reads == 0))
	c.bytes = smooth(c.bytes, float64(bytes), c.reads == 0)
	c.reads++
}

// expected is how long packing so many runs will take.
func (c *costs) expected(runs int) time.Duration {
	scan, perByte := c.scan, c.perByte
	if c.archives == 0 {
		scan, perByte = expectedScan*float64(c.single), float64(expectedPerByte)
	}
	return time.Duration(scan + float64(runs)*(float64(expectedPerRun)+perByte*c.bytes))
}

// addArchive notes how long packing took. The difference from what was expected is divided
// between the look at all folders and the runs as their parts were.
func (c *costs) addArchive(packing time.Duration, runs int, bytes int64) {
	expected := float64(c.expected(runs))
	if c.archives == 0 {
		c.scan, c.perByte = expectedScan*float64(c.single), float64(expectedPerByte)
	}
	c.bytes = smooth(c.bytes, float64(bytes)/float64(runs), false)
	factor := smooth(1, float64(packing)/max(expected, 1), c.archives == 0)
	c.scan, c.perByte = c.scan*factor, c.perByte*factor
	c.archives++
}

// prefersArchive says whether so many wanted runs are read better in an archive of all runs
// of their path.
func (c *costs) prefersArchive(wanted, runs int) bool {
	if wanted < minArchived || c.reads < measuredReads {
		return false
	}
	expected := c.expected(max(runs, wanted))
	return expected <= maxPacking && float64(expected) < archiveGain*float64(wanted)*float64(c.single)
}
