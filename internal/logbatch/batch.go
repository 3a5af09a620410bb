// Package logbatch splits a run's log, or the changes of its merged table, into immutable
// batches that many readers share.
//
// A Batcher makes batches of lines. A Snapshot is the last known state of a merged table: a
// Diff finds what has changed since, and a Replay sends the cells to a reader that is
// behind.
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
	// Text is the line without its newline; progress output that was written with \r is
	// part of it.
	Text string
	// Lossy reports that invalid UTF-8 was replaced by U+FFFD, or that the line was
	// truncated at 1 MiB.
	Lossy bool
	// Offset is where the line starts in the file, in bytes; in a log stream it is the line
	// number.
	Offset int64
}

// Batch is a piece of a log: points of a run in log order, or lines. All cursors share it.
// It is immutable except for the encodings it caches, and safe for concurrent use.
type Batch struct {
	// From and To are the positions before and after the batch.
	From, To runsource.Position
	series   []eventlog.Series
	lines    []LogLine
	Points   int
	// LineEntries are the lines of the batch, by which tokens are verified.
	LineEntries []LineEntry
	Counts      eventlog.Counts
	Newest      float64 // the newest time in the batch, in Unix seconds; 0 if no point has one
	size        int64   // estimated memory without encodings, in bytes

	mu           sync.Mutex // guards the fields below
	encoded      map[string][]byte
	budget       *atomic.Int64 // the hub's, while the batch is retained; else nil
	encodedBytes int64         // memory of the encodings
	retained     *atomic.Int64 // the journal's, while the batch is retained; else nil
}

// LineEntry is the offset of a line and its fingerprint.
type LineEntry struct {
	Offset      int64
	fingerprint runsource.LineFingerprint
}

// Series returns the points by series, in the order of their first point, with positions if
// the log has any. It is read-only.
func (b *Batch) Series() []eventlog.Series { return b.series }

// Lines returns the lines of a text log. It is read-only.
func (b *Batch) Lines() []LogLine { return b.lines }

// Origin returns what the batch was read from.
func (b *Batch) Origin() runsource.Origin { return b.To.Origin }

// Select returns the selected points. A series that is selected completely shares its
// columns with the batch and is read-only.
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

// maxEncodings limits the cached encodings of one batch. Selections beyond the limit are
// encoded for each reader.
const maxEncodings = 32

// Encoded returns the result of encode, cached per key while the batch is retained. The key
// must stand for everything that encode depends on besides the batch. The bytes are shared
// and read-only.
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

// addEncodedBytes adds to the budgets. b.mu must be held and the batch be retained.
func (b *Batch) addEncodedBytes(bytes int64) {
	b.encodedBytes += bytes
	b.budget.Add(bytes)
	b.retained.Add(bytes)
}

// Retain charges the batch to two budgets until it is released.
func (b *Batch) Retain(budget, retained *atomic.Int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget, b.retained = budget, retained
	budget.Add(b.size)
	retained.Add(b.size)
}

// Release removes the batch from the budgets and drops its encodings. Cursors may continue
// to use the batch.
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

// After returns a new batch with the part after a position. False means that no batch can
// end at the position: it belongs to another log.
func (b *Batch) After(at runsource.Position) (*Batch, bool) {
	if at == b.From || at.Offset == b.From.Offset && at.Index == b.From.Index {
		return b, true
	}
	part := &Batch{From: at, To: b.To, Newest: b.Newest}
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

// skipPoints restricts part to the points after a position within a line. Such a large line
// has its own batches, in which every point is a series. Of a text line, all that is kept
// has already been delivered.
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

// linesFrom returns the lines that begin at the offset or later.
func (b *Batch) linesFrom(offset int64) []LogLine {
	first, _ := slices.BinarySearchFunc(b.lines, offset, func(l LogLine, offset int64) int { return cmp.Compare(l.Offset, offset) })
	return b.lines[first:]
}

// entryIndex returns the index of the first line that begins at the offset or later.
func (b *Batch) entryIndex(offset int64) int {
	at, _ := slices.BinarySearchFunc(b.LineEntries, offset, func(m LineEntry, offset int64) int { return cmp.Compare(m.Offset, offset) })
	return at
}

// IsEmpty reports whether the batch has nothing to deliver.
func (b *Batch) IsEmpty() bool { return b.Points == 0 && len(b.lines) == 0 }

// Follows reports whether the batch confirms the previous line of a position in it. A
// position within a line is confirmed by the line before that one.
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
	case at.Origin == runsource.FromLogStream: // offsets are line numbers
		return m.fingerprint == at.PrevLine && m.Offset+1 == end
	case at.Unterminated:
		end++
	}
	return m.fingerprint == at.PrevLine && m.Offset+int64(m.fingerprint.Size) == end
}

// filterSeries returns the points for which keep returns true. If all are kept, they share
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

// NewTableBatch returns a batch of points of a merged table. newest is their newest time,
// 0 if they have none.
func NewTableBatch(from, to runsource.Position, series []eventlog.Series, points int, newest float64) *Batch {
	b := &Batch{From: from, To: to, series: series, Points: points, Newest: newest}
	b.size = b.estimateSize()
	return b
}

// estimateSize estimates the memory of the batch in bytes.
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
