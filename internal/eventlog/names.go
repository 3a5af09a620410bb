package eventlog

import "bytes"

// The limits of the names and texts that a Parser remembers. When they are exceeded, it
// forgets all and starts again: files with new names in every line cost allocations, but no
// memory.
const (
	maxNames     = MaxMetrics // names; one line may add as many again
	maxNameBytes = 8 << 20
	maxTexts     = 1 << 12
	maxTextBytes = 1 << 8 // longer texts are not remembered
)

// role is the meaning of a key of a metrics line.
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
	row  uint64 // the last row with a cell of this name
	cell int    // index of that cell
}

// key is one spelling of a name in the file, from quote to colon.
type key struct {
	raw  []byte
	name *name
	next *key // the key that followed last time
}

// nameTable maps the keys of a file to names. Consecutive lines are similar, so the key
// that followed last time is tried before a lookup.
type nameTable struct {
	names map[string]*name
	keys  map[string]*key
	bytes int
	first key  // before every line's first key
	last  *key // the previous key
	row   uint64
}

// nextRow starts a line.
func (t *nameTable) nextRow() {
	if t.names == nil || len(t.keys) >= maxNames || t.bytes >= maxNameBytes {
		t.names, t.keys, t.bytes = map[string]*name{}, map[string]*key{}, 0
		t.first.next = nil
	}
	t.last = &t.first
	t.row++
}

// read returns the name of the key at i and the index after its colon, or -1.
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
	case len(t.keys) >= 2*maxNames: // far more names than one line may have
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

// cellOf returns the index of the name's cell in the current row: that of an earlier
// duplicate, or next with fresh set.
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

// textTable keeps one copy of each repeated text, such as a stage.
type textTable struct {
	texts map[string]string
}

// intern decodes a string that scanString has accepted.
func (t *textTable) intern(quoted []byte, plain bool) string {
	if !plain {
		return t.keep(unquote(quoted))
	}
	return t.keep(quoted[1 : len(quoted)-1])
}

// keep returns the text as a string that may be kept.
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
