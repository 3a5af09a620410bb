package runlog

import (
	"bytes"
	"hash/crc32"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
)

// maxLogLine is where a line of a text log is cut.
const maxLogLine = 1 << 20

// cutter makes batches of lines. It is not safe for concurrent use.
type cutter struct {
	isText bool
	emit   func(*Batch)
	at     Position // behind the lines that were taken
	until  int64    // lines that begin here or later are not taken
	parser eventlog.Parser
	counts eventlog.Counts // of the batches that were emitted
	cells  *eventlog.Batch
	next   *Batch   // what is being collected
	bytes  int      // about what it takes on the wire
	line   Position // the beginning of the line at hand
	// Of a line that is too long, as far as it has been seen.
	isLong    bool
	longBytes int64
	long      lineSum
}

// newCutter returns a cutter for the lines behind a place, which is the
// beginning of one. Batches go to emit.
func newCutter(isText bool, at Position, emit func(*Batch)) *cutter {
	return &cutter{
		isText: isText, emit: emit, at: at, until: math.MaxInt64,
		cells: eventlog.NewBatch(eventlog.Selection{}), next: &Batch{from: at},
	}
}

// feed takes the lines that chunk completes, and says how many bytes they took:
// what is left comes again, in front of what follows.
func (c *cutter) feed(chunk []byte) (taken int, err error) {
	for c.at.offset < c.until {
		rest := chunk[taken:]
		n := bytes.IndexByte(rest, '\n')
		switch {
		case n >= 0:
			err = c.take(rest[:n+1])
		case c.isText && len(rest) > 0 && (c.isLong || len(rest) > maxLogLine):
			c.extend(rest)
			return len(chunk), nil
		case len(rest) > eventlog.MaxLine:
			return taken, &eventlog.LineTooLongError{Offset: c.at.offset}
		default:
			return taken, nil
		}
		if err != nil {
			return taken, err
		}
		taken += n + 1
	}
	return taken, nil
}

// take takes the next line of the file, newline included.
func (c *cutter) take(line []byte) error {
	text := line[:len(line)-1]
	switch {
	case c.at.isOpen && len(text) > 0:
		return errOtherLog // the line goes on: it is not what it was taken for
	case c.at.isOpen: // its newline has come
		c.at.isOpen = false
		c.at.offset++
		c.mark(lineMark{offset: c.at.offset - int64(c.at.last.size), sum: c.at.last})
		return nil
	case c.isLong:
		c.extend(text)
		c.isLong = false
		c.pass(c.long, c.longBytes+1, false)
		return nil
	}
	c.begin(text)
	if c.isText {
		c.text(text)
	} else if _, err := c.parser.Parse(line, c.line.offset, eventlog.Handler{Row: c.row}); err != nil {
		return err
	}
	c.pass(sumLine(text), int64(len(line)), false)
	return nil
}

// extend takes a part of a line of text that is too long: what is kept of it is
// sent at once, and the rest is passed over.
func (c *cutter) extend(part []byte) {
	if !c.isLong {
		c.begin(part)
		c.text(part)
		c.isLong, c.longBytes, c.long = true, 0, lineSum{size: 1}
		c.at.index = 1
		c.flush()
	}
	c.longBytes += int64(len(part))
	c.long.size = uint32(min(c.longBytes+1, math.MaxUint32))
	c.long.sum = crc32.Update(c.long.sum, castagnoli, part)
}

// finish takes what a run that has ended has left behind the last newline, and
// says whether it counts: a text does, an event if it is complete.
func (c *cutter) finish(rest []byte) (bool, error) {
	if len(rest) == 0 || c.at.isOpen || c.isLong {
		return false, nil
	}
	before := c.at
	c.begin(rest)
	if c.isText {
		c.text(rest)
	} else if isWhole, err := c.parser.Finish(rest, c.line.offset, eventlog.Handler{Row: c.row}); err != nil || !isWhole {
		c.at = before
		return false, err
	}
	c.pass(sumLine(rest), int64(len(rest)), true)
	c.flush()
	return true, nil
}

// begin notes where the line at hand begins. The first one is what the log is
// known by.
func (c *cutter) begin(line []byte) {
	if c.at.offset == 0 {
		c.at.first = firstSum(line)
	}
	c.line = c.at
}

// firstBytes is how much of a log's first line it is known by.
const firstBytes = 64 << 10

func firstSum(line []byte) lineSum { return sumLine(line[:min(len(line), firstBytes)]) }

// pass moves behind a line that was read, which took so many bytes.
func (c *cutter) pass(sum lineSum, bytes int64, isOpen bool) {
	isLarge := c.at.index > 0
	c.mark(lineMark{offset: c.line.offset, sum: sum})
	c.at = Position{
		origin: c.line.origin, offset: c.line.offset + bytes, isOpen: isOpen,
		first: c.line.first, last: sum,
	}
	if isLarge || c.bytes >= batchBytes || c.next.points >= batchPoints || len(c.next.marks) >= batchPoints {
		c.flush()
	}
}

func (c *cutter) mark(m lineMark) { c.next.marks = append(c.next.marks, m) }

// text adds a line of a text log.
func (c *cutter) text(line []byte) {
	l := LogLine{Offset: c.line.offset}
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
	c.makeRoom(0, len(l.Text)+lineWeight)
	c.next.lines = append(c.next.lines, l)
	c.bytes += len(l.Text) + lineWeight
}

// What a point and a line take on the wire besides texts, in bytes.
const (
	pointWeight = 20
	lineWeight  = 10
)

func weight(cell *eventlog.Cell) int { return pointWeight + len(cell.Text) + len(cell.Exact) }

// row adds a metrics line. One that is larger than a batch gets batches of its
// own.
func (c *cutter) row(row *eventlog.Row) error {
	points, bytes := 0, 0
	for i := range row.Cells {
		if row.Cells[i].Kind != eventlog.KindNone {
			points++
			bytes += weight(&row.Cells[i])
		}
	}
	c.makeRoom(points, bytes)
	if points <= batchPoints && bytes <= batchBytes {
		c.add(row, points, bytes)
		return nil
	}
	piece, cells := *row, row.Cells
	for len(cells) > 0 {
		n := 0
		points, bytes = 0, 0
		for ; n < len(cells) && points < batchPoints && (points == 0 || bytes < batchBytes); n++ {
			if cells[n].Kind != eventlog.KindNone {
				points++
				bytes += weight(&cells[n])
			}
		}
		piece.Cells, cells = cells[:n], cells[n:]
		c.add(&piece, points, bytes)
		c.at.index += int64(points)
		if len(cells) > 0 {
			c.flush()
		}
	}
	return nil
}

func (c *cutter) add(row *eventlog.Row, points, bytes int) {
	c.cells.Append(row)
	if row.HasTime && (!c.next.hasNewest || row.Time > c.next.newest) {
		c.next.newest, c.next.hasNewest = row.Time, true
	}
	c.next.points += points
	c.bytes += bytes
}

// makeRoom ends the batch before the line at hand if that does not fit.
func (c *cutter) makeRoom(points, bytes int) {
	if c.bytes > 0 && (c.bytes+bytes > batchBytes || c.next.points+points > batchPoints) {
		c.flush()
	}
}

// flush ends the batch.
func (c *cutter) flush() {
	counts := c.parser.Counts()
	if c.at == c.next.from && c.next.points == 0 {
		return
	}
	b := c.next
	b.to, b.series = c.at, c.cells.Take()
	b.counts = eventlog.Counts{
		MalformedLines: counts.MalformedLines - c.counts.MalformedLines,
		UnplacedPoints: counts.UnplacedPoints - c.counts.UnplacedPoints,
	}
	b.size = b.weigh()
	c.counts, c.bytes, c.next = counts, 0, &Batch{from: c.at}
	c.emit(b)
}

// weigh estimates the memory of the batch.
func (b *Batch) weigh() int64 {
	const overhead, perSeries, perLine, perText, word = 512, 200, 40, 16, 8
	n := overhead + perText*cap(b.marks) + perLine*cap(b.lines)
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
