package eventlog

import (
	"bytes"
	"slices"
)

// event is the "type" of a line.
type event uint8

const (
	eventOther event = iota // another type or none
	eventMetrics
	eventImage
)

// line is the part of a line read so far. The last of duplicate keys wins, as in Python.
type line struct {
	object     bool
	event      event
	ts         value
	hasData    bool   // the line's data is an object
	data       []byte // the text of that object
	time       value
	global     stepValue // data.global_step
	step       stepValue // data.step
	row        Row
	stepCell   int  // index of the cell of step plus 1, 0 if there is none
	hasDropped bool // some of the row's cells are kindDropped
	excess     Excess
}

// read reads one line into p.line and reports whether it is JSON.
func (p *Parser) read(b []byte) bool {
	cells := p.line.row.Cells[:0]
	p.line = line{row: Row{Cells: cells}}
	i := skipBlanks(b, 0)
	switch {
	case i == len(b):
		return false
	case b[i] == '{':
		p.line.object = true
		i = p.members(b, i+1)
	default:
		i = p.skip(b, i)
	}
	return i >= 0 && skipBlanks(b, i) == len(b)
}

// members reads the keys and values of the line's object; i is after its opening brace.
// Like all functions here, it returns the index after what it has read, or -1 for invalid
// JSON.
func (p *Parser) members(b []byte, i int) int {
	i, more := enter(b, i, '}')
	for more {
		at := scanKey(b, i)
		if at < 0 {
			return -1
		}
		if i = p.member(b, at, b[i:at]); i < 0 {
			return -1
		}
		i, more = next(b, i, '}')
	}
	return i
}

// member reads the value at i. key is the raw key, from quote to colon.
func (p *Parser) member(b []byte, i int, key []byte) int {
	switch keyName(key) {
	case "ts":
		return p.value(b, i, &p.line.ts)
	case "type":
		var v value
		i = p.value(b, i, &v)
		p.line.event = eventOf(&v)
		return i
	case "data":
		return p.lineData(b, i)
	default:
		return p.skip(b, i)
	}
}

// keyName returns the name of a key of the line's object.
func keyName(key []byte) string {
	switch string(key) {
	case `"ts":`:
		return "ts"
	case `"type":`:
		return "type"
	case `"data":`:
		return "data"
	default:
		return string(unquote(key[:bytes.LastIndexByte(key, '"')+1]))
	}
}

func eventOf(v *value) event {
	switch {
	case v.kind == jsonString && v.text == "metrics":
		return eventMetrics
	case v.kind == jsonString && v.text == "image":
		return eventImage
	default:
		return eventOther
	}
}

// lineData reads the value of "data". The type may follow it, so any data is read as that
// of a metrics line; the data of an image, which is rare, is read again from l.data.
func (p *Parser) lineData(b []byte, i int) int {
	l := &p.line
	l.time, l.global, l.step = value{}, stepValue{}, stepValue{}
	l.row.Cells, l.stepCell, l.hasDropped, l.excess = l.row.Cells[:0], 0, false, Excess{}
	i = skipSpace(b, i)
	if l.hasData = i < len(b) && b[i] == '{'; !l.hasData {
		return p.skip(b, i)
	}
	p.names.nextRow()
	end := p.metrics(b, i+1)
	if end >= 0 {
		l.data = b[i:end]
	}
	return end
}

// metrics reads the members of a data object into the row; i is after its opening brace.
func (p *Parser) metrics(b []byte, i int) int {
	i, more := enter(b, i, '}')
	for more {
		n, at := p.names.read(b, i)
		if at < 0 {
			return -1
		}
		if i = p.value(b, at, &p.scratch); i < 0 {
			return -1
		}
		p.addMetric(n, &p.scratch)
		i, more = next(b, i, '}')
	}
	return i
}

// addMetric adds a value of a metrics line.
func (p *Parser) addMetric(n *name, v *value) {
	l := &p.line
	switch n.role {
	case roleGlobalStep:
		l.global = v.step()
	case roleStep:
		l.step = v.step()
		l.stepCell = p.addCell(n, v) + 1 // it is a metric if global_step is given
	case roleTime:
		l.time = *v
	case roleMetric:
		p.addCell(n, v)
	}
}

// addCell adds the value as a cell and returns its index, or -1 if there are too many.
func (p *Parser) addCell(n *name, v *value) int {
	l := &p.line
	if n.row != p.names.row && len(l.row.Cells) == MaxMetrics {
		l.excess.addMetric(manyMetrics, n.name)
		return -1
	}
	at := p.names.cellOf(n, len(l.row.Cells))
	if at == len(l.row.Cells) {
		l.row.Cells = append(l.row.Cells, Cell{})
	}
	l.row.Cells[at] = p.cell(n.name, v)
	l.hasDropped = l.hasDropped || v.kind == jsonNested
	return at
}

// resolveStep sets the row's step and time, and reports whether there is a step. The Viewer
// uses global_step unless it is absent or null, and does not fall back to step if it is not
// a number. The one that is not used is a metric.
func (l *line) resolveStep() bool {
	step := l.global
	if !step.given {
		step = l.step
		if l.stepCell > 0 {
			l.row.Cells[l.stepCell-1].Kind = kindDropped
			l.hasDropped = true
		}
	}
	if !l.hasData || !step.valid {
		return false
	}
	l.row.Step = step.n
	l.row.Time, l.row.HasTime = l.time.seconds()
	if !l.row.HasTime {
		l.row.Time, l.row.HasTime = l.ts.seconds()
	}
	if l.hasDropped {
		l.row.Cells = slices.DeleteFunc(l.row.Cells, func(c Cell) bool { return c.Kind == kindDropped })
	}
	return true
}
