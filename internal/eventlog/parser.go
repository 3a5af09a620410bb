// Package eventlog turns the event file of a run (events.jsonl, one JSON object per line,
// written by the Runicorn SDK) into points, and points into columns. It is pure: no files,
// sockets, clocks or wire formats.
//
// A Parser turns bytes into one Row per metrics line. A Batch collects rows in log order,
// for tails; a Table merges them like the Viewer, with one value per step and metric. For a
// Viewer that serves no event file (0.5.3), rows come from its merged table instead, and
// everything after Row is the same. Both produce Series, and a Selection selects metrics
// and steps.
//
// The Viewer defines what a line means: testdata has event files of the three releases with
// their Viewers' answers. One rule is ours: every key of a logged line is a metric, except
// time and the key that gave the step. The Viewer's table leaves out epoch, and step if
// global_step is given.
package eventlog

import (
	"bytes"
)

// Handler receives the contents of lines in file order. Either function may be nil.
// Arguments are reused after the function returns; strings may be kept. An error stops the
// Parser at that line and is returned unchanged.
type Handler struct {
	// Row receives the metrics lines with a usable step, including those without metrics:
	// they are rows of the Viewer's table too.
	Row func(*Row) error
	// Media receives the image lines.
	Media func(*Media) error
}

// Counts counts what a Parser left out.
type Counts struct {
	// MalformedLines is the number of complete lines that are invalid JSON or too long.
	MalformedLines uint64
	// LinesWithoutStep is the number of metrics lines without a usable step.
	LinesWithoutStep uint64
	// Excess counts what was too large.
	Excess
}

// Add adds the counts of other.
func (c *Counts) Add(other Counts) {
	c.MalformedLines += other.MalformedLines
	c.LinesWithoutStep += other.LinesWithoutStep
	c.Excess.Add(other.Excess)
}

// Since returns the counts since an earlier state of the same Parser.
func (c Counts) Since(earlier Counts) Counts {
	return Counts{
		MalformedLines:   c.MalformedLines - earlier.MalformedLines,
		LinesWithoutStep: c.LinesWithoutStep - earlier.LinesWithoutStep,
		Excess:           c.Excess.Since(earlier.Excess),
	}
}

// Parser parses event files. The zero Parser is ready for use. It reuses names and buffers,
// so its memory and allocations depend on the variety of lines, not their number. It is not
// safe for concurrent use.
type Parser struct {
	counts  Counts
	names   nameTable
	texts   textTable
	stack   []byte // open brackets of the nested value that is being skipped
	line    line   // the current line
	skips   bool   // the current line is too long, and its beginning was skipped
	scratch value  // the current value
}

// Counts returns what was left out since the Parser was created or Reset.
func (p *Parser) Counts() Counts { return p.counts }

// Reset prepares the Parser for another event file. It keeps buffers and known names.
func (p *Parser) Reset() { p.counts, p.skips = Counts{}, false }

// SkipLine counts a line longer than MaxLine that is not passed to Parse.
func (p *Parser) SkipLine(position int64) {
	p.counts.MalformedLines++
	p.counts.addLine(position)
}

// Parse parses the complete lines of chunk, whose first byte is the beginning of a line at
// offset base of the event file. It returns how many bytes it has consumed: the caller
// passes the rest again, before the bytes that follow. Bytes of a line longer than MaxLine
// are consumed as they arrive. After an error, the line that caused it is not consumed.
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

// Finish parses the bytes after the last newline of a run that has ended, and reports
// whether they are a complete JSON object. A partial line is not counted as malformed.
func (p *Parser) Finish(rest []byte, base int64, h Handler) (complete bool, err error) {
	if p.skips || len(rest) > MaxLine || !p.read(rest) || !p.line.object {
		return false, nil
	}
	return true, p.emit(base, h)
}

// emit passes the line, which begins at position, to the handler.
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
			return err // the line will be parsed and counted again
		}
		p.counts.Excess.Add(l.excess)
		return nil
	case eventImage:
		if h.Media == nil || !l.hasData {
			return nil
		}
		media := p.media(l.data)
		if media.Path == "" || len(media.Path) > maxPath { // Viewer 0.7.2 does not list images without a path
			return nil
		}
		media.Position = position
		media.Time, media.HasTime = l.ts.seconds()
		return h.Media(&media)
	default:
		return nil
	}
}
