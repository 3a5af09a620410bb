package logbatch

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// MaxLogLine is the length in bytes at which a line of a text log is truncated.
const MaxLogLine = 1 << 20

// Batcher makes batches of lines. It is not safe for concurrent use.
type Batcher struct {
	textLog   bool
	emit      func(*Batch)
	At        runsource.Position // after the lines added so far
	End       int64              // lines that begin at or after it are not added
	parser    eventlog.Parser
	counts    eventlog.Counts // of the batches emitted so far
	cells     *eventlog.Batch
	batch     *Batch             // being collected
	bytes     int                // about its size on the wire
	lineStart runsource.Position // of the current line
	// State of a line that exceeds the limit and is not complete yet.
	overlong      bool
	overlongBytes int64
	overlongLine  runsource.LineFingerprint
}

// NewBatcher returns a batcher that starts at a position, which must be the beginning of a
// line. It passes batches to emit.
func NewBatcher(textLog bool, at runsource.Position, emit func(*Batch)) *Batcher {
	return &Batcher{
		textLog: textLog, emit: emit, At: at, End: math.MaxInt64,
		cells: eventlog.NewBatch(eventlog.Selection{}), batch: &Batch{From: at},
	}
}

// Start moves to the beginning of another line, whose predecessor has the fingerprint.
func (b *Batcher) Start(offset int64, prevLine runsource.LineFingerprint) {
	b.At.Offset, b.At.PrevLine = offset, prevLine
	b.batch.From = b.At
}

// AddChunk adds the complete lines of chunk and returns their length. The caller passes the
// rest again, before the bytes that follow.
func (b *Batcher) AddChunk(chunk []byte) (consumed int, err error) {
	for b.At.Offset < b.End {
		rest := chunk[consumed:]
		n := bytes.IndexByte(rest, '\n')
		switch {
		case n >= 0:
			err = b.addLine(rest[:n+1])
		case len(rest) > 0 && (b.overlong || len(rest) > b.maxLine()):
			b.addLinePart(rest)
			return len(chunk), nil
		default:
			return consumed, nil
		}
		if err != nil {
			return consumed, err
		}
		consumed += n + 1
	}
	return consumed, nil
}

// maxLine is the maximum length of an incomplete line.
func (b *Batcher) maxLine() int {
	if b.textLog {
		return MaxLogLine
	}
	return eventlog.MaxLine
}

// addLine adds the next line of the file, including its newline.
func (b *Batcher) addLine(line []byte) error {
	text := line[:len(line)-1]
	switch {
	case b.At.Unterminated && len(text) > 0:
		return runsource.ErrLogReplaced // the line continues, so it is not the line that was read before
	case b.At.Unterminated: // its newline has arrived
		b.At.Unterminated = false
		b.At.Offset++
		b.recordLine(LineEntry{Offset: b.At.Offset - int64(b.At.PrevLine.Size), fingerprint: b.At.PrevLine})
		return nil
	case b.overlong:
		b.addLinePart(text)
		b.overlong = false
		b.commitLine(b.overlongLine, b.overlongBytes+1, false)
		return nil
	}
	b.beginLine(text)
	if b.textLog {
		b.addText(text)
	} else if _, err := b.parser.Parse(line, b.lineStart.Offset, eventlog.Handler{Row: b.addRow}); err != nil {
		return err
	}
	b.commitLine(runsource.FingerprintLine(text), int64(len(line)), false)
	return nil
}

// AddNumberedLine adds a line of a log whose offsets are line numbers.
func (b *Batcher) AddNumberedLine(line []byte) {
	b.beginLine(line)
	b.addText(line)
	b.commitLine(runsource.FingerprintLine(line), 1, false)
}

// addLinePart adds a part of an overlong line: the kept beginning of a text line is added
// at once, everything else is skipped.
func (b *Batcher) addLinePart(part []byte) {
	if !b.overlong {
		b.beginLine(part)
		b.overlong, b.overlongBytes, b.overlongLine = true, 0, runsource.LineFingerprint{Size: 1}
		if b.textLog {
			b.addText(part)
			b.At.Index = 1
			b.Flush()
		} else {
			b.parser.SkipLine(b.lineStart.Offset)
		}
	}
	b.overlongBytes += int64(len(part))
	b.overlongLine = b.overlongLine.Extend(b.overlongBytes, part)
}

// AddLastLine handles the bytes after the last newline of a run that has ended, and reports
// whether they are a line: text always is, an event only if complete.
func (b *Batcher) AddLastLine(rest []byte) (bool, error) {
	if len(rest) == 0 || b.At.Unterminated || b.overlong {
		return false, nil
	}
	before := b.At
	b.beginLine(rest)
	if b.textLog {
		b.addText(rest)
	} else if complete, err := b.parser.Finish(rest, b.lineStart.Offset, eventlog.Handler{Row: b.addRow}); err != nil || !complete {
		b.At = before
		return false, err
	}
	b.commitLine(runsource.FingerprintLine(rest), int64(len(rest)), true)
	b.Flush()
	return true, nil
}

// beginLine records where the current line begins. The first line identifies the log.
func (b *Batcher) beginLine(line []byte) {
	if b.At.Offset == 0 {
		b.At.FirstLine = runsource.FingerprintFirstLine(line)
	}
	b.lineStart = b.At
}

// commitLine advances the position past a line of the given length.
func (b *Batcher) commitLine(sum runsource.LineFingerprint, bytes int64, unterminated bool) {
	large := b.At.Index > 0
	b.recordLine(LineEntry{Offset: b.lineStart.Offset, fingerprint: sum})
	b.At = runsource.Position{
		Origin: b.lineStart.Origin, Offset: b.lineStart.Offset + bytes, Unterminated: unterminated,
		FirstLine: b.lineStart.FirstLine, PrevLine: sum,
	}
	if large || b.bytes >= runsource.BatchBytes || b.batch.Points >= runsource.BatchPoints || len(b.batch.LineEntries) >= runsource.BatchPoints {
		b.Flush()
	}
}

func (b *Batcher) recordLine(e LineEntry) { b.batch.LineEntries = append(b.batch.LineEntries, e) }

// addText adds a line to a batch of text.
func (b *Batcher) addText(line []byte) {
	l := newLogLine(b.lineStart.Offset, line)
	b.flushIfFull(0, len(l.Text)+lineWireBytes)
	b.batch.lines = append(b.batch.lines, l)
	b.bytes += len(l.Text) + lineWireBytes
}

// UnfinishedLine returns the text after the last newline of a text log, without adding it.
func (b *Batcher) UnfinishedLine(rest []byte) LogLine { return newLogLine(b.At.Offset, rest) }

// newLogLine makes a line of arbitrary bytes.
func newLogLine(offset int64, line []byte) LogLine {
	l := LogLine{Offset: offset}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > MaxLogLine {
		line, l.Lossy = line[:MaxLogLine], true
		for len(line) > 0 && !utf8.RuneStart(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
		line = line[:len(line)-1] // the character that may be truncated
	}
	l.Text = string(line)
	if !utf8.ValidString(l.Text) {
		l.Text, l.Lossy = strings.ToValidUTF8(l.Text, "\uFFFD"), true
	}
	return l
}

// lineWireBytes is the size of a line on the wire besides its text.
const lineWireBytes = 10

// longName is the length up to which a metric's name is negligible beside its points.
const longName = 256

// CellWireBytes estimates the size of a point on the wire.
func CellWireBytes(cell *eventlog.Cell) int {
	return runsource.PointWireBytes + len(cell.Text) + len(cell.Exact) + max(len(cell.Name)-longName, 0)
}

// addRow adds a metrics line. A line larger than a batch gets its own batches.
func (b *Batcher) addRow(row *eventlog.Row) error {
	points, bytes := wireSize(row.Cells)
	b.flushIfFull(points, bytes)
	if runsource.FittingCells(row.Cells) == len(row.Cells) {
		b.addCells(row, points, bytes)
		return nil
	}
	piece, cells := *row, row.Cells
	for len(cells) > 0 {
		n := runsource.FittingCells(cells)
		piece.Cells, cells = cells[:n], cells[n:]
		points, bytes = wireSize(piece.Cells)
		b.addCells(&piece, points, bytes)
		b.At.Index += int64(points)
		if len(cells) > 0 {
			b.Flush()
		}
	}
	return nil
}

// wireSize returns the number of points among the cells and estimates their size on the
// wire.
func wireSize(cells []eventlog.Cell) (points, bytes int) {
	for i := range cells {
		if cells[i].Kind != eventlog.KindNone {
			points++
			bytes += CellWireBytes(&cells[i])
		}
	}
	return points, bytes
}

func (b *Batcher) addCells(row *eventlog.Row, points, bytes int) {
	b.cells.Append(row)
	if row.HasTime && row.Time > b.batch.Newest {
		b.batch.Newest = row.Time
	}
	b.batch.Points += points
	b.bytes += bytes
}

// flushIfFull ends the batch before the current line if the line does not fit.
func (b *Batcher) flushIfFull(points, bytes int) {
	if b.bytes > 0 && (b.bytes+bytes > runsource.BatchBytes || b.batch.Points+points > runsource.BatchPoints) {
		b.Flush()
	}
}

// Flush emits the current batch.
func (b *Batcher) Flush() {
	counts := b.parser.Counts()
	if b.At == b.batch.From && b.batch.Points == 0 {
		return
	}
	batch := b.batch
	batch.To, batch.series = b.At, b.cells.Take()
	batch.Counts = counts.Since(b.counts)
	batch.size = batch.estimateSize()
	b.counts, b.bytes, b.batch = counts, 0, &Batch{From: b.At}
	b.emit(batch)
}

// IsDone reports whether all lines up to End were added.
func (b *Batcher) IsDone() bool { return b.At.Offset >= b.End && !b.overlong }
