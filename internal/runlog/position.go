package runlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Position is a place in a run's log from which a Cursor goes on: behind what
// was delivered. It is a value, comparable, and short in its binary form (some
// 20 bytes), so that a client can carry the positions of many runs. It belongs
// to no Hub: any process resumes it.
//
// The zero Position is the beginning of any log. One of a line file holds the
// offset of the next line and what the log is known by: the sums of its first
// line and of the line before the position. One of a merged table holds the
// greatest step that was sent and a digest of all cells that were.
type Position struct {
	origin Origin // 0: no log has been seen, the start is the one that was asked for

	// Of a line file; of a table, offset is the number of its changes, which
	// means something to one journal only and is not part of the binary form.
	offset int64
	index  int64 // cells that were delivered of the line at offset
	first  lineSum
	last   lineSum
	// isOpen: the line before had no newline, because its run had ended.
	isOpen bool
	// isLoose: offset is a size of the file, the place is the first line that
	// begins there or later.
	isLoose bool

	// Of a merged table.
	step   int64
	digest uint64

	// What was asked for, while no log has been seen.
	isNow bool
	lines int64 // the last lines of a text log
}

// Beginning is where a log begins.
func Beginning() Position { return Position{} }

// Now is the first line that starts at or after the size that the log has when
// the Hub looks first.
func Now() Position { return Position{isNow: true} }

// LastLines is n lines before the end that a text log has when the Hub looks
// first. Metrics have no such place: there it is Now.
func LastLines(n int64) Position { return Position{isNow: true, lines: max(n, 0)} }

// Origin says what kind of log the position belongs to, and 0 that no log has
// been seen yet.
func (p Position) Origin() Origin { return p.origin }

// Offset is the place in bytes, for logs that are files.
func (p Position) Offset() (offset int64, ok bool) {
	return p.offset, p.origin == FromEventLog || p.origin == FromLogFile
}

// before orders places of one log.
func (p Position) before(q Position) bool {
	return p.offset < q.offset || p.offset == q.offset && p.index < q.index
}

// isStart says that nothing was consumed.
func (p Position) isStart() bool { return p.offset == 0 && p.index == 0 && !p.isLoose }

// lineSum is what a line is known by: its size, a newline included whether it has
// one or not, and the checksum of what is before the newline. The zero lineSum is
// no line.
type lineSum struct {
	size uint32
	sum  uint32
}

// castagnoli is the polynomial that processors compute themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumLine is the sum of a line that was given without its newline.
func sumLine(line []byte) lineSum {
	return lineSum{size: uint32(min(int64(len(line))+1, math.MaxUint32)), sum: crc32.Checksum(line, castagnoli)}
}

// ErrPosition says that bytes are no Position.
var ErrPosition = errors.New("not a position")

// The flags in the first byte of the binary form; the origin is in its low bits.
const (
	originBits   = 0x07
	flagOpen     = 0x08
	flagLoose    = 0x10
	flagNow      = 0x20
	flagFirst    = 0x40
	flagLast     = 0x80
	sumBytes     = 4
	digestBytes  = 8
	maxMarshaled = 64
)

// AppendBinary appends the binary form to b. It does not fail.
func (p Position) AppendBinary(b []byte) ([]byte, error) {
	flags := byte(p.origin) & originBits
	for _, f := range []struct {
		isSet bool
		flag  byte
	}{
		{p.isOpen, flagOpen},
		{p.isLoose, flagLoose},
		{p.isNow, flagNow},
		{p.first != lineSum{}, flagFirst},
		{p.last != lineSum{}, flagLast},
	} {
		if f.isSet {
			flags |= f.flag
		}
	}
	b = append(b, flags)
	switch p.origin {
	case FromMergedTable:
		b = binary.AppendVarint(b, p.step)
		return binary.LittleEndian.AppendUint64(b, p.digest), nil
	case 0:
		return binary.AppendUvarint(b, uint64(p.lines)), nil
	}
	b = binary.AppendUvarint(b, uint64(p.offset))
	b = binary.AppendUvarint(b, uint64(p.index))
	for _, s := range []lineSum{p.first, p.last} {
		if s != (lineSum{}) {
			b = binary.AppendUvarint(b, uint64(s.size))
			b = binary.LittleEndian.AppendUint32(b, s.sum)
		}
	}
	return b, nil
}

// MarshalBinary returns the binary form. It does not fail.
func (p Position) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

// UnmarshalBinary reads the binary form, and nothing but it: what it accepts is
// what AppendBinary writes. The error is ErrPosition.
func (p *Position) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || len(b) > maxMarshaled {
		return ErrPosition
	}
	flags := b[0]
	d := decoder{b: b[1:], isGood: true}
	q := Position{
		origin: Origin(flags & originBits), isOpen: flags&flagOpen != 0,
		isLoose: flags&flagLoose != 0, isNow: flags&flagNow != 0,
	}
	switch q.origin {
	case FromMergedTable:
		q.step, q.digest = d.varint(), d.uint64()
	case 0:
		q.lines = d.uvarint()
	case FromEventLog, FromLogFile, FromLogStream:
		q.offset, q.index = d.uvarint(), d.uvarint()
		q.first = d.sum(flags&flagFirst != 0)
		q.last = d.sum(flags&flagLast != 0)
	default:
		return ErrPosition
	}
	// One form for each place: sizes, flags and padding that nothing writes are
	// refused by writing it again.
	again, _ := q.AppendBinary(make([]byte, 0, maxMarshaled)) // does not fail
	if !d.isGood || len(d.b) > 0 || string(again) != string(b) || !q.isPossible() {
		return ErrPosition
	}
	*p = q
	return nil
}

// isPossible says whether such a position can come out of a journal.
func (p Position) isPossible() bool {
	switch p.origin {
	case 0:
		return !p.isOpen && !p.isLoose && (p.isNow || p.lines == 0)
	case FromMergedTable:
		return !p.isOpen && !p.isLoose && !p.isNow
	}
	end := p.offset
	if p.isOpen {
		end++
	}
	isAtLine := p.last == (lineSum{}) || int64(p.last.size) <= end
	if p.origin == FromLogStream { // offset is a number of lines
		isAtLine = p.last == (lineSum{}) || end > 0
	}
	isLoose := !p.isLoose || p.index == 0 && !p.isOpen && p.last == (lineSum{})
	return !p.isNow && isAtLine && isLoose && (!p.isOpen || p.last != lineSum{})
}

// decoder reads numbers from the front of b until one is bad.
type decoder struct {
	b      []byte
	isGood bool
}

func (d *decoder) cut(n int) []byte {
	if n <= 0 || n > len(d.b) {
		d.isGood = false
		return nil
	}
	head := d.b[:n]
	d.b = d.b[n:]
	return head
}

// maxOffset keeps sums of offsets and lengths within an int64.
const maxOffset = 1 << 56

func (d *decoder) uvarint() int64 {
	v, n := binary.Uvarint(d.b)
	if v > maxOffset {
		d.isGood = false
		return 0
	}
	d.cut(n)
	return int64(v)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.cut(n)
	return v
}

func (d *decoder) uint64() uint64 {
	if b := d.cut(digestBytes); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) sum(isThere bool) (s lineSum) {
	if !isThere {
		return s
	}
	size := d.uvarint()
	if size == 0 || size > math.MaxUint32 {
		d.isGood = false
		return s
	}
	s.size = uint32(size)
	if b := d.cut(sumBytes); b != nil {
		s.sum = binary.LittleEndian.Uint32(b)
	}
	return s
}
