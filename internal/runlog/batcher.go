package runlog

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxLogLine is where a line of a text log is cut.
const maxLogLine = 1 << 20

// batcher makes batches of lines. It is not safe for concurrent use.
type batcher struct {
	textLog   bool
	emit      func(*Batch)
	at        Position // behind the lines that were taken
	end       int64    // lines that begin here or later are not taken
	parser    eventlog.Parser
	counts    eventlog.Counts // of the batches that were emitted
	cells     *eventlog.Batch
	batch     *Batch   // what is being collected
	bytes     int      // about what it takes on the wire
	lineStart Position // the beginning of the line at hand
	// Of a line that is too long, as far as it has been seen.
	overlong      bool
	overlongBytes int64
	overlongLine  lineFingerprint
}

// newBatcher returns a batcher for the lines behind a position, which is the
// beginning of one. Batches go to emit.
func newBatcher(textLog bool, at Position, emit func(*Batch)) *batcher {
	return &batcher{
		textLog: textLog, emit: emit, at: at, end: math.MaxInt64,
		cells: eventlog.NewBatch(eventlog.Selection{}), batch: &Batch{from: at},
	}
}

// start begins at another offset, that of a line behind one with a fingerprint.
func (b *batcher) start(offset int64, prevLine lineFingerprint) {
	b.at.offset, b.at.prevLine = offset, prevLine
	b.batch.from = b.at
}

// addChunk takes the lines that chunk completes, and says how many bytes they took:
// what is left comes again, in front of what follows.
func (b *batcher) addChunk(chunk []byte) (consumed int, err error) {
	for b.at.offset < b.end {
		rest := chunk[consumed:]
		n := bytes.IndexByte(rest, '\n')
		switch {
		case n >= 0:
			err = b.addLine(rest[:n+1])
		case b.textLog && len(rest) > 0 && (b.overlong || len(rest) > maxLogLine):
			b.addLinePart(rest)
			return len(chunk), nil
		case len(rest) > eventlog.MaxLine:
			return consumed, &eventlog.LineTooLongError{Offset: b.at.offset}
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

// addLine takes the next line of the file, newline included.
func (b *batcher) addLine(line []byte) error {
	text := line[:len(line)-1]
	switch {
	case b.at.unterminated && len(text) > 0:
		return errLogReplaced // the line goes on: it is not what it was taken for
	case b.at.unterminated: // its newline has come
		b.at.unterminated = false
		b.at.offset++
		b.recordLine(lineEntry{offset: b.at.offset - int64(b.at.prevLine.size), fingerprint: b.at.prevLine})
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
	} else if _, err := b.parser.Parse(line, b.lineStart.offset, eventlog.Handler{Row: b.addRow}); err != nil {
		return err
	}
	b.commitLine(fingerprintLine(text), int64(len(line)), false)
	return nil
}

// addNumberedLine takes a line of a log whose offsets are the numbers of lines.
func (b *batcher) addNumberedLine(line []byte) {
	b.beginLine(line)
	b.addText(line)
	b.commitLine(fingerprintLine(line), 1, false)
}

// addLinePart takes a part of a line of text that is too long: what is kept of it is
// sent at once, and the rest is passed over.
func (b *batcher) addLinePart(part []byte) {
	if !b.overlong {
		b.beginLine(part)
		b.addText(part)
		b.overlong, b.overlongBytes, b.overlongLine = true, 0, lineFingerprint{size: 1}
		b.at.index = 1
		b.flush()
	}
	b.overlongBytes += int64(len(part))
	b.overlongLine = b.overlongLine.extend(b.overlongBytes, part)
}

// addLastLine takes what a run that has ended has left behind the last newline, and
// says whether it counts: a text does, an event if it is complete.
func (b *batcher) addLastLine(rest []byte) (bool, error) {
	if len(rest) == 0 || b.at.unterminated || b.overlong {
		return false, nil
	}
	before := b.at
	b.beginLine(rest)
	if b.textLog {
		b.addText(rest)
	} else if complete, err := b.parser.Finish(rest, b.lineStart.offset, eventlog.Handler{Row: b.addRow}); err != nil || !complete {
		b.at = before
		return false, err
	}
	b.commitLine(fingerprintLine(rest), int64(len(rest)), true)
	b.flush()
	return true, nil
}

// beginLine notes where the line at hand begins. The first one is what the log is
// known by.
func (b *batcher) beginLine(line []byte) {
	if b.at.offset == 0 {
		b.at.firstLine = fingerprintFirstLine(line)
	}
	b.lineStart = b.at
}

// fingerprintBytes is how much of a log's first line it is known by.
const fingerprintBytes = 64 << 10

func fingerprintFirstLine(line []byte) lineFingerprint {
	return fingerprintLine(line[:min(len(line), fingerprintBytes)])
}

// commitLine moves behind a line that was read, which took so many bytes.
func (b *batcher) commitLine(sum lineFingerprint, bytes int64, unterminated bool) {
	large := b.at.index > 0
	b.recordLine(lineEntry{offset: b.lineStart.offset, fingerprint: sum})
	b.at = Position{
		origin: b.lineStart.origin, offset: b.lineStart.offset + bytes, unterminated: unterminated,
		firstLine: b.lineStart.firstLine, prevLine: sum,
	}
	if large || b.bytes >= batchBytes || b.batch.points >= batchPoints || len(b.batch.lineEntries) >= batchPoints {
		b.flush()
	}
}

func (b *batcher) recordLine(e lineEntry) { b.batch.lineEntries = append(b.batch.lineEntries, e) }

// addText adds a line of a text log.
func (b *batcher) addText(line []byte) {
	l := LogLine{Offset: b.lineStart.offset}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if len(line) > maxLogLine {
		line, l.Lossy = line[:maxLogLine], true
		for len(line) > 0 && !utf8.RuneStart(line[len(line)-1]) {
			line = line[:len(line)-1]
		}
		line = line[:len(line)-1] // the character that may have been cut
	}
	l.Text = string(line)
	if !utf8.ValidString(l.Text) {
		l.Text, l.Lossy = strings.ToValidUTF8(l.Text, "\uFFFD"), true
	}
	b.flushIfFull(0, len(l.Text)+lineWireBytes)
	b.batch.lines = append(b.batch.lines, l)
	b.bytes += len(l.Text) + lineWireBytes
}

// What a point and a line take on the wire besides texts, in bytes.
const (
	pointWireBytes = 20
	lineWireBytes  = 10
)

func cellWireBytes(cell *eventlog.Cell) int { return pointWireBytes + len(cell.Text) + len(cell.Exact) }

// addRow adds a metrics line. One that is larger than a batch gets batches of its
// own.
func (b *batcher) addRow(row *eventlog.Row) error {
	points, bytes := 0, 0
	for i := range row.Cells {
		if row.Cells[i].Kind != eventlog.KindNone {
			points++
			bytes += cellWireBytes(&row.Cells[i])
		}
	}
	b.flushIfFull(points, bytes)
	if points <= batchPoints && bytes <= batchBytes {
		b.addCells(row, points, bytes)
		return nil
	}
	piece, cells := *row, row.Cells
	for len(cells) > 0 {
		n := 0
		points, bytes = 0, 0
		for ; n < len(cells) && points < batchPoints && (points == 0 || bytes < batchBytes); n++ {
			if cells[n].Kind != eventlog.KindNone {
				points++
				bytes += cellWireBytes(&cells[n])
			}
		}
		piece.Cells, cells = cells[:n], cells[n:]
		b.addCells(&piece, points, bytes)
		b.at.index += int64(points)
		if len(cells) > 0 {
			b.flush()
		}
	}
	return nil
}

func (b *batcher) addCells(row *eventlog.Row, points, bytes int) {
	b.cells.Append(row)
	if row.HasTime && (!b.batch.hasNewest || row.Time > b.batch.newest) {
		b.batch.newest, b.batch.hasNewest = row.Time, true
	}
	b.batch.points += points
	b.bytes += bytes
}

// flushIfFull ends the batch before the line at hand if that does not fit.
func (b *batcher) flushIfFull(points, bytes int) {
	if b.bytes > 0 && (b.bytes+bytes > batchBytes || b.batch.points+points > batchPoints) {
		b.flush()
	}
}

// flush ends the batch.
func (b *batcher) flush() {
	counts := b.parser.Counts()
	if b.at == b.batch.from && b.batch.points == 0 {
		return
	}
	batch := b.batch
	batch.to, batch.series = b.at, b.cells.Take()
	batch.counts = eventlog.Counts{
		MalformedLines:   counts.MalformedLines - b.counts.MalformedLines,
		LinesWithoutStep: counts.LinesWithoutStep - b.counts.LinesWithoutStep,
	}
	batch.size = batch.estimateSize()
	b.counts, b.bytes, b.batch = counts, 0, &Batch{from: b.at}
	b.emit(batch)
}

// estimateSize estimates the memory of the batch.
func (b *Batch) estimateSize() int64 {
	const overhead, perSeries, perLine, perText, word = 512, 200, 40, 16, 8
	n := overhead + perText*cap(b.lineEntries) + perLine*cap(b.lines)
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
