package eventlog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Size limits. The program that writes a run determines its sizes: oversized parts are left
// out or truncated, counted and reported, so that they make neither this run nor others
// unreadable.
const (
	// MaxLine is the maximum length of a line of an event file, in bytes without its
	// newline. Longer lines are skipped and never buffered.
	MaxLine = 16 << 20
	// MaxText is the maximum length of a text value in bytes. Longer ones are truncated.
	MaxText = 256 << 10
	// MaxName is the maximum length of a metric's name in bytes. Requests cannot have
	// longer ones. Values of metrics with longer names are left out.
	MaxName = 1 << 10
	// MaxMetrics is the maximum number of metrics in one line and in one run's Table.
	// Values of further metrics are left out.
	MaxMetrics = 1 << 16

	// maxPath is the maximum length of an image's path in bytes; no file system supports
	// longer ones.
	maxPath = 4 << 10
	// maxNamed is the number of bytes of a metric's name that a limitation quotes.
	maxNamed = 64
	// cutMark ends a truncated text.
	cutMark = "…"
)

// What can be too large: the indices of Excess.
const (
	longLine = iota
	longText
	longName
	manyMetrics
)

// Excess counts what was too large, by cause. It is comparable.
type Excess [manyMetrics + 1]ExcessCount

// ExcessCount is the number of occurrences.
type ExcessCount struct {
	Count uint64
	First string // the first occurrence: the offset of the line, or the metric
}

// excessTexts are formats for the number and the first occurrence.
var excessTexts = [len(Excess{})]string{
	longLine:    "%d lines are longer than 16 MiB and were left out, the first at byte %s",
	longText:    "%d texts are longer than 256 KiB and were cut, the first of the metric %s",
	longName:    "%d values of metrics with names of more than 1024 bytes were left out, the first of the metric %s",
	manyMetrics: "%d values of metrics beyond 65536 were left out, the first of the metric %s",
}

// Limitations describes what was left out or truncated.
func (x *Excess) Limitations() (texts []string) {
	for what, n := range x {
		if n.Count > 0 {
			texts = append(texts, fmt.Sprintf(excessTexts[what], n.Count, n.First))
		}
	}
	return texts
}

// Add adds the counts of other.
func (x *Excess) Add(other Excess) {
	for what, n := range other {
		if x[what].Count == 0 {
			x[what].First = n.First
		}
		x[what].Count += n.Count
	}
}

// Since returns the counts since an earlier state.
func (x Excess) Since(earlier Excess) Excess {
	for what := range x {
		x[what].Count -= earlier[what].Count
	}
	return x
}

// CountMetric counts a value of a metric beyond MaxMetrics.
func (x *Excess) CountMetric(name string) { x.addMetric(manyMetrics, name) }

// addMetric counts a value of a metric.
func (x *Excess) addMetric(what int, name string) {
	if x[what].Count == 0 {
		short := cutText(name, maxNamed)
		x[what].First = fmt.Sprintf("%q", short)
	}
	x[what].Count++
}

// addLine counts a line that begins at an offset.
func (x *Excess) addLine(offset int64) {
	if x[longLine].Count == 0 {
		x[longLine].First = strconv.FormatInt(offset, 10)
	}
	x[longLine].Count++
}

// Limit leaves out or truncates what is too large in a row. Rows from a Parser are limited
// already; rows of a merged table are not.
func (x *Excess) Limit(row *Row) {
	isLong := func(c Cell) bool { return len(c.Name) > MaxName }
	hasLong := false
	for i := range row.Cells {
		c := &row.Cells[i]
		hasLong = hasLong || isLong(*c)
		if len(c.Text) > MaxText {
			x.addMetric(longText, c.Name)
			c.Text = cutText(c.Text, MaxText)
		}
	}
	if hasLong {
		row.Cells = slices.DeleteFunc(row.Cells, func(c Cell) bool {
			if isLong(c) {
				x.addMetric(longName, c.Name)
			}
			return isLong(c)
		})
	}
}

// cutText truncates the valid UTF-8 text to size bytes, including the mark.
func cutText(text string, size int) string {
	if len(text) <= size {
		return text
	}
	return strings.ToValidUTF8(text[:size-len(cutMark)], "") + cutMark // a copy, so that the whole text can be freed
}
