// Package eventlog turns the event file of a run (events.jsonl, one JSON
// object per line, written by the Runicorn SDK) into points, and points into
// columns. It is pure: it knows no file, no socket, no clock and no wire format.
//
// The way through it: bytes go into a Parser, which hands out one Row per
// metrics line. A Batch takes rows in log order and is what a tail sends; a
// Table takes the same rows and merges them as the Viewer does, one value per
// step and metric. A Viewer that serves no event file (0.5.3) gives rows of its
// merged table instead, and everything behind Row stays the same. Both make
// Series, and a Selection says which metrics and steps are wanted.
//
// What a line means is the Viewer's decision, not ours: testdata holds event
// files of the three releases beside what their Viewers answered. One thing is
// ours: every key of a logged line is a metric, except time and what gave the
// step. The Viewer's table leaves out epoch, and step beside global_step.
package eventlog

import (
	"bytes"
)

// Handler receives what the lines say, in the order of the file. Either
// function may be nil. What it is given is reused after it returns; strings may
// be kept. An error stops the Parser at that line and is returned as it is.
type Handler struct {
	// Row receives the metrics lines that have a usable step, those without
	// any metric included: in the Viewer's table they make a row too.
	Row func(*Row) error
	// Media receives the image lines.
	Media func(*Media) error
}

// Counts says what a Parser had to leave out.
type Counts struct {
	// MalformedLines is the number of complete lines that are no JSON, and of those
	// that are too long.
	MalformedLines uint64
	// LinesWithoutStep is the number of metrics lines without a usable step.
	LinesWithoutStep uint64
	// Excess is what was too large.
	Excess
}

// Add adds what was left out elsewhere.
func (c *Counts) Add(other Counts) {
	c.MalformedLines += other.MalformedLines
	c.LinesWithoutStep += other.LinesWithoutStep
	c.Excess.Add(other.Excess)
}

// Since is what was left out after an earlier state of the same Parser.
func (c Counts) Since(earlier Counts) Counts {
	return Counts{
		MalformedLines:   c.MalformedLines - earlier.MalformedLines,
		LinesWithoutStep: c.LinesWithoutStep - earlier.LinesWithoutStep,
		Excess:           c.Excess.Since(earlier.Excess),
	}
}

// Parser reads event files. The zero Parser is ready for use; it keeps names
// and buffers from line to line, so its memory and its allocations depend on
// the variety of the lines and not on their number. It is not safe for
// concurrent use.
type Parser struct {
	counts  Counts
	names   nameTable
	texts   textTable
	stack   []byte // the open brackets of the nested value that is skipped
	line    line   // the line at hand
	skips   bool   // the line at hand is too long, and its beginning was passed over
	scratch value  // the value at hand
}

// Counts returns what has been left out since the Parser was made or Reset.
func (p *Parser) Counts() Counts { return p.counts }

// Reset makes the Parser ready for another event file. Buffers and known names
// are kept.
func (p *Parser) Reset() { p.counts, p.skips = Counts{}, false }

// SkipLine counts a line that is longer than MaxLine, of which no more is given.
func (p *Parser) SkipLine(position int64) {
	p.counts.MalformedLines++
	p.counts.addLine(position)
}

// Parse reads the complete lines of chunk, whose first byte lies at offset base
// of the event file and begins a line. It returns how many bytes they took: the
// caller gives the rest again, in front of what comes next. Of a line that is longer than
// MaxLine all bytes are taken as they come. After an error the line it is about is not
// consumed.
func (p *Parser) Parse(chunk []byte, base int64, h Handler) (consumed int, err error) {
	for {
		rest := chunk[consumed:]
		n := bytes.IndexByte(rest, '\n')
		switch tooLong := n > MaxLine || n < 0 && len(rest) > MaxLine; {
		case tooLong && !p.skips:
			p.SkipLine(base + int64(consumed))
			p.skips = true
		case n >= 0 && !p.skips:
			if err := p.parseLine(rest[:n], base+int64(consumed), h); err != nil {
				return consumed, err
			}
		case n < 0 && !p.skips:
			return consumed, nil
		}
		if n < 0 {
			return len(chunk), nil
		}
		p.skips = false
		consumed += n + 1
	}
}

// parseLine parses a complete line, which begins at position.
func (p *Parser) parseLine(line []byte, position int64, h Handler) error {
	if p.read(line) {
		return p.emit(position, h)
	}
	if !isBlank(line) {
		p.counts.MalformedLines++
	}
	return nil
}

// Finish reads what a run has left behind its last newline, once the run has
// ended: it counts if it is a complete JSON object, and says so by returning
// true. A torn line is no malformed line: it may never have been meant.
func (p *Parser) Finish(rest []byte, base int64, h Handler) (complete bool, err error) {
	if p.skips || len(rest) > MaxLine || !p.read(rest) || !p.line.object {
		return false, nil
	}
	return true, p.emit(base, h)
}

// emit hands out the line that was read, which begins at position.
func (p *Parser) emit(position int64, h Handler) error {
	l := &p.line
	switch l.event {
	case eventMetrics:
		if !l.resolveStep() {
			p.counts.LinesWithoutStep++
			return nil
		}
		if h.Row == nil {
			return nil
		}
		l.row.Position = position
		l.excess.Limit(&l.row)
		if err := h.Row(&l.row); err != nil {
			return err // the line may come again, and is counted then
		}
		p.counts.Excess.Add(l.excess)
		return nil
	case eventImage:
		if h.Media == nil || !l.hasData {
			return nil
		}
		media := p.media(l.data)
		if media.Path == "" || len(media.Path) > maxPath { // Viewer 0.7.2 lists no image without one
			return nil
		}
		media.Position = position
		media.Time, media.HasTime = l.ts.seconds()
		return h.Media(&media)
	default:
		return nil
	}
}
