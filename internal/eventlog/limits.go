package eventlog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The limits of what is read of a run. Whoever writes a run decides about its sizes:
// what is larger is left out or cut, counted and named, so that it makes neither its own
// run nor others unreadable.
const (
	// MaxLine is the longest line of an event file, in bytes without its newline.
	// Longer ones are passed over, and never held.
	MaxLine = 16 << 20
	// MaxText is the longest text value, in bytes. Longer ones are cut.
	MaxText = 256 << 10
	// MaxName is the longest name of a metric, in bytes. No request can ask for a
	// longer one, and its values are left out.
	MaxName = 1 << 10
	// MaxMetrics is how many metrics one line has, and one run's Table. Values of
	// further ones are left out.
	MaxMetrics = 1 << 16

	// maxPath is the longest path of an image, in bytes: no file system has longer ones.
	maxPath = 4 << 10
	// maxNamed is how much of a metric's name is told in a limitation, in bytes.
	maxNamed = 64
	// cutMark ends a text that was cut.
	cutMark = "…"
)

// What can be too large; each is an index of Excess.
const (
	longLine = iota
	longText
	longName
	manyMetrics
)

// Excess counts what was too large, by what it was. It is a value, and comparable.
type Excess [manyMetrics + 1]ExcessCount

// ExcessCount is how often something was too large.
type ExcessCount struct {
	Count uint64
	First string // names the first one: where a line begins, else the metric
}

// excessTexts say what became of it: its number and the first one are filled in.
var excessTexts = [len(Excess{})]string{
	longLine:    "%d lines are longer than 16 MiB and were left out, the first at byte %s",
	longText:    "%d texts are longer than 256 KiB and were cut, the first of the metric %s",
	longName:    "%d values of metrics with names of more than 1024 bytes were left out, the first of the metric %s",
	manyMetrics: "%d values of metrics beyond 65536 were left out, the first of the metric %s",
}

// Limitations say in words what was left out or cut; none if nothing was.
func (x *Excess) Limitations() (texts []string) {
	for what, n := range x {
		if n.Count > 0 {
			texts = append(texts, fmt.Sprintf(excessTexts[what], n.Count, n.First))
		}
	}
	return texts
}

// Add adds what was counted elsewhere.
func (x *Excess) Add(other Excess) {
	for what, n := range other {
		if x[what].Count == 0 {
			x[what].First = n.First
		}
		x[what].Count += n.Count
	}
}

// Since is what was counted after an earlier state.
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

// Limit leaves out of a row what is too large, or cuts it. A Parser has done so with the
// rows that it gives; those of a merged table need it.
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

// cutText is the text, or its beginning and a mark within so many bytes.
func cutText(text string, size int) string {
	if len(text) <= size {
		return text
	}
	end := size - len(cutMark)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return strings.Clone(text[:end]) + cutMark // Clone: the whole text must not stay alive
}
