// Package logbatch cuts a run's log, or the changes of its merged table, into immutable
// batches that many readers share.
//
// A Batcher makes batches of lines. A Snapshot is the last state of a merged table: a
// Diff finds what has changed in it, and a Replay gives that to a late reader.
package logbatch

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// LogLine is one line of a text log.
type LogLine struct {
	// Text is the line without its newline; progress that was written with \r is
	// inside it.
	Text string
	// Lossy says that bytes of it were not UTF-8 and are U+FFFD now, or that it
	// was cut at 1 MiB.
	Lossy bool
	// Offset is where it starts in the file, and its number where the log is no
	// file.
	Offset int64
}

// Batch is a piece of a log: points of a run in the order of the log, or lines.
// It is shared by all cursors and immutable, except for the encodings that it
// keeps for them; it is safe for concurrent use.
type Batch struct {
	// From and to are the positions before and behind it.
	From, To runsource.Position
	series   []eventlog.Series
	lines    []LogLine
	Points   int // the number of points
	// LineEntries are the lines it was made of, by which tokens are verified.
	LineEntries []LineEntry
	Counts      eventlog.Counts
	Newest      float64 // the newest time in it, if HasNewest
	// HasNewest says that any of its points has a time.
	HasNewest bool
	size      int64 // an estimate of its memory without encodings

	mu           sync.Mutex // guards what follows
	encoded      map[string][]byte
	budget       *atomic.Int64 // that of the hub while the batch is retained, else nil
	encodedBytes int64         // the memory of the encodings
	retained     *atomic.Int64 // that of the journal, in the same way
}

// LineEntry is where a line begins, and what it is known by.
type LineEntry struct {
	Offset      int64
	fingerprint runsource.LineFingerprint
}

// Series returns the points by series, in the order of their first point, with
// positions where the log has any. They may be read only.
func (b *Batch) Series() []eventlog.Series { return b.series }

// Lines returns the lines of a text log. They may be read only.
func (b *Batch) Lines() []LogLine { return b.lines }

// Origin is what the batch was read from.
func (b *Batch) Origin() runsource.Origin { return b.To.Origin }

// Select returns the selected points. Series that are wanted as a whole share
// their columns with the batch: they may be read only.
func (b *Batch) Select(selection eventlog.Selection) []eventlog.Series {
	var selected []eventlog.Series
	for i := range b.series {
		s := &b.series[i]
		if !selection.HasName(s.Name) {
			continue
		}
		wanted := filterSeries(s, func(at int) bool { return selection.HasStep(s.Steps[at]) })
		if wanted.Len() > 0 {
			selected = append(selected, wanted)
		}
	}
	return selected
}

// maxEncodings bounds the encodings of one batch: as many selections share
// theirs, and those who come later make their own each time.
const maxEncodings = 32

// Encoded returns what encode makes of the batch, made once for each key for as
// long as the batch is retained. Key stands for everything that encode depends
// on besides the batch. The bytes are shared and may be read only.
func (b *Batch) Encoded(key string, encode func() []byte) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bytes, ok := b.encoded[key]; ok {
		return bytes
	}
	bytes := encode()
	if b.budget == nil || len(b.encoded) >= maxEncodings {
		return bytes
	}
	if b.encoded == nil {
		b.encoded = make(map[string][]byte, 1)
	}
	b.encoded[key] = bytes
	const overhead = 64
	b.addEncodedBytes(int64(len(bytes) + len(key) + overhead))
	return bytes
}

// addEncodedBytes notes more memory; called with mu held, while the batch is retained.
func (b *Batch) addEncodedBytes(bytes int64) {
	b.encodedBytes += bytes
	b.budget.Add(bytes)
	b.retained.Add(bytes)
}

// Retain counts the batch against two budgets until it is released.
func (b *Batch) Retain(budget, retained *atomic.Int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget, b.retained = budget, retained
	budget.Add(b.size)
	retained.Add(b.size)
}

// Release takes the batch out of the budgets. Cursors that hold it may continue
// using it; its encodings go.
func (b *Batch) Release() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.budget == nil {
		return
	}
	b.budget.Add(-b.size - b.encodedBytes)
	b.retained.Add(-b.size - b.encodedBytes)
	b.budget, b.retained, b.encoded, b.encodedBytes = nil, nil, nil, 0
}

// After is the part of a batch behind a position in it, the caller's own; it shares
// nothing but what it says. False means that the position is none where a batch can
// end: it is from another log.
func (b *Batch) After(at runsource.Position) (*Batch, bool) {
	if at == b.From || at.Offset == b.From.Offset && at.Index == b.From.Index {
		return b, true
	}
	part := &Batch{From: at, To: b.To, Newest: b.Newest, HasNewest: b.HasNewest}
	if at.Index > 0 {
		return part, b.skipPoints(at, part)
	}
	part.LineEntries = b.LineEntries[b.entryIndex(at.Offset):]
	for i := range b.series {
		s := &b.series[i]
		tail := filterSeries(s, func(i int) bool { return s.Positions[i] >= at.Offset })
		if tail.Len() > 0 {
			part.series = append(part.series, tail)
			part.Points += tail.Len()
		}
	}
	part.lines = b.linesFrom(at.Offset)
	return part, true
}

// skipPoints makes part what follows a position within a line. Such a line has
// batches of its own, in which every point is a series; of a text it has been
// delivered, as much as is kept.
func (b *Batch) skipPoints(at runsource.Position, part *Batch) bool {
	if len(b.lines) > 0 {
		part.LineEntries = b.LineEntries[b.entryIndex(at.Offset):]
		part.lines = b.linesFrom(at.Offset + 1)
		return true
	}
	skip := at.Index - b.From.Index
	if at.Offset != b.From.Offset || skip < 0 || skip >= int64(len(b.series)) || len(b.series) != b.Points {
		return false
	}
	part.series = b.series[skip:]
	part.Points = len(part.series)
	part.LineEntries = b.LineEntries
	return true
}

// linesFrom are the lines that begin at an offset or later.
func (b *Batch) linesFrom(offset int64) []LogLine {
	first, _ := slices.BinarySearchFunc(b.lines, offset, func(l LogLine, offset int64) int { return cmp.Compare(l.Offset, offset) })
	return b.lines[first:]
}

// entryIndex is the first of the batch's lines that begins at an offset or later.
func (b *Batch) entryIndex(offset int64) int {
	at, _ := slices.BinarySearchFunc(b.LineEntries, offset, func(m LineEntry, offset int64) int { return cmp.Compare(m.Offset, offset) })
	return at
}

// IsEmpty says that there is nothing in it to deliver.
func (b *Batch) IsEmpty() bool { return b.Points == 0 && len(b.lines) == 0 }

// Follows says whether a position in the batch comes behind the line that it
// remembers. A position within a line is told by the line before that.
func (b *Batch) Follows(at runsource.Position) bool {
	if at.PrevLine == (runsource.LineFingerprint{}) {
		return true
	}
	i := b.entryIndex(at.Offset)
	if i == 0 {
		return b.From.Offset == at.Offset && (b.From.PrevLine == at.PrevLine || b.From.PrevLine == runsource.LineFingerprint{})
	}
	m, end := b.LineEntries[i-1], at.Offset
	switch {
	case at.Origin == runsource.FromLogStream: // offsets are numbers of lines
		return m.fingerprint == at.PrevLine && m.Offset+1 == end
	case at.Unterminated:
		end++
	}
	return m.fingerprint == at.PrevLine && m.Offset+int64(m.fingerprint.Size) == end
}

// filterSeries is the points of a series for which keep holds; all of them share
// the columns of s.
func filterSeries(s *eventlog.Series, keep func(at int) bool) eventlog.Series {
	var kept []int
	for at := range s.Steps {
		if keep(at) {
			kept = append(kept, at)
		}
	}
	if len(kept) == s.Len() {
		return *s
	}
	part := eventlog.Series{
		Name: s.Name, Kind: s.Kind, Steps: selectIndices(s.Steps, kept), Times: selectIndices(s.Times, kept),
		Values: selectIndices(s.Values, kept), Texts: selectIndices(s.Texts, kept), Positions: selectIndices(s.Positions, kept),
	}
	for _, e := range s.Exact {
		if at, ok := slices.BinarySearch(kept, e.Index); ok {
			part.Exact = append(part.Exact, eventlog.Exact{Index: at, Text: e.Text})
		}
	}
	return part
}

func selectIndices[T any](column []T, at []int) []T {
	if len(column) == 0 {
		return nil
	}
	picked := make([]T, len(at))
	for i, at := range at {
		picked[i] = column[at]
	}
	return picked
}

// NewTableBatch makes a batch of points of a merged table. Newest is their newest time, if
// hasNewest.
func NewTableBatch(from, to runsource.Position, series []eventlog.Series, points int, newest float64, hasNewest bool) *Batch {
	b := &Batch{From: from, To: to, series: series, Points: points, Newest: newest, HasNewest: hasNewest}
	b.size = b.estimateSize()
	return b
}

// estimateSize estimates the memory of the batch.
func (b *Batch) estimateSize() int64 {
	const overhead, perSeries, perLine, perText, word = 512, 200, 40, 16, 8
	n := overhead + perText*cap(b.LineEntries) + perLine*cap(b.lines)
	for i := range b.lines {
		n += len(b.lines[i].Text)
	}
	for i := range b.series {
		s := &b.series[i]
		n += perSeries + len(s.Name) + word*(cap(s.Steps)+cap(s.Times)+cap(s.Values)+cap(s.Positions))
		n += perText*cap(s.Texts) + 3*word*cap(s.Exact)
		for _, text := range s.Texts {
			n += len(text)
		}
	}
	return int64(n)
}
