package eventlog

import "bytes"

// The bounds of what a Parser remembers of names and texts. Beyond them it
// forgets everything and starts again: files in which every line has new names
// cost allocations, but no memory.
const (
	maxNames     = MaxMetrics // names; one line may add as many again
	maxNameBytes = 8 << 20
	maxTexts     = 1 << 12
	maxTextBytes = 1 << 8 // longer texts are not remembered
)

// role says what a key of a metrics line is for.
type role uint8

const (
	roleMetric role = iota
	roleGlobalStep
	roleStep
	roleTime
)

// name is a key of metrics lines, decoded.
type name struct {
	name string
	role role
	row  uint64 // the last row that has a cell of this name
	cell int    // and that cell's index
}

// key is a spelling of a name in the file, from its quote to its colon.
type key struct {
	raw  []byte
	name *name
	next *key // what followed it the last time
}

// nameTable knows the names of a file. Lines resemble each other, so that the
// key that followed the last time is tried before anything is looked up.
type nameTable struct {
	names map[string]*name
	keys  map[string]*key
	bytes int
	first key  // in front of every line's first key
	last  *key // the key read before
	row   uint64
}

// nextRow begins a line.
func (t *nameTable) nextRow() {
	if t.names == nil || len(t.keys) >= maxNames || t.bytes >= maxNameBytes {
		t.names, t.keys, t.bytes = map[string]*name{}, map[string]*key{}, 0
		t.first.next = nil
	}
	t.last = &t.first
	t.row++
}

// read reads the key at i and returns its name and the place behind its colon,
// or -1.
func (t *nameTable) read(b []byte, i int) (*name, int) {
	if k := t.last.next; k != nil && bytes.HasPrefix(b[i:], k.raw) {
		t.last = k
		return k.name, i + len(k.raw)
	}
	end := scanKey(b, i)
	if end < 0 {
		return nil, -1
	}
	k, ok := t.keys[string(b[i:end])]
	switch {
	case ok:
	case len(t.keys) >= 2*maxNames: // far more names in one line than it may have
		n := newName(b[i:end])
		return &n, end
	default:
		k = t.add(b[i:end])
	}
	t.last.next, t.last = k, k
	return k.name, end
}

// newName decodes the name of a key.
func newName(raw []byte) name {
	text := string(unquote(raw[:bytes.LastIndexByte(raw, '"')+1]))
	return name{name: text, role: roleOf(text)}
}

func (t *nameTable) add(raw []byte) *key {
	decoded := newName(raw)
	n, ok := t.names[decoded.name]
	if !ok {
		n = &decoded
		t.names[n.name] = n
	}
	k := &key{raw: bytes.Clone(raw), name: n}
	t.keys[string(k.raw)] = k
	t.bytes += len(raw) + len(n.name)
	return k
}

// cellOf is the index of the name's cell in the row at hand: that of an earlier
// equal name, or the new one, fresh.
func (t *nameTable) cellOf(n *name, next int) int {
	if n.row != t.row {
		n.row, n.cell = t.row, next
	}
	return n.cell
}

func roleOf(name string) role {
	switch name {
	case "global_step":
		return roleGlobalStep
	case "step":
		return roleStep
	case "time":
		return roleTime
	default:
		return roleMetric
	}
}

// textTable keeps one copy of each text that comes again, such as a stage.
type textTable struct {
	texts map[string]string
}

// intern decodes a string that scanString has passed.
func (t *textTable) intern(quoted []byte, plain bool) string {
	if !plain {
		return t.keep(unquote(quoted))
	}
	return t.keep(quoted[1 : len(quoted)-1])
}

// keep is the text as a string that may be kept.
func (t *textTable) keep(b []byte) string {
	if text, ok := t.texts[string(b)]; ok {
		return text
	}
	text := string(b)
	if len(text) > maxTextBytes {
		return text
	}
	if t.texts == nil || len(t.texts) >= maxTexts {
		t.texts = map[string]string{}
	}
	t.texts[text] = text
	return text
}
