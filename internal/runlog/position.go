package runlog

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Position is a position in a run's log from which a Cursor goes on: behind what
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
	offset    int64
	index     int64 // cells that were delivered of the line at offset
	firstLine lineFingerprint
	prevLine  lineFingerprint
	// unterminated: the line before had no newline, because its run had ended.
	unterminated bool
	// unaligned: offset is a size of the file, the position is the first line that
	// begins there or later.
	unaligned bool

	// Of a merged table.
	step   int64
	digest uint64

	// What was asked for, while no log has been seen.
	fromEnd bool
	lines   int64 // the last lines of a text log
}

// Beginning is where a log begins.
func Beginning() Position { return Position{} }

// Now is the first line that starts at or after the size that the log has when
// the Hub looks first.
func Now() Position { return Position{fromEnd: true} }

// LastLines is n lines before the end that a text log has when the Hub polls
// first. Metrics have no such position: there it is Now.
func LastLines(n int64) Position { return Position{fromEnd: true, lines: max(n, 0)} }

// Origin says what kind of log the position belongs to, and 0 that no log has
// been seen yet.
func (p Position) Origin() Origin { return p.origin }

// Offset is the position in bytes, for logs that are files.
func (p Position) Offset() (offset int64, ok bool) {
	return p.offset, p.origin == FromEventLog || p.origin == FromLogFile
}

// before orders positions of one log.
func (p Position) before(q Position) bool {
	return p.offset < q.offset || p.offset == q.offset && p.index < q.index
}

// isStart says that nothing was consumed.
func (p Position) isStart() bool { return p.offset == 0 && p.index == 0 && !p.unaligned }

// lineFingerprint is what a line is known by: its size, a newline included whether it has
// one or not, and the checksum of what is before the newline. The zero lineFingerprint is
// no line.
type lineFingerprint struct {
	size uint32
	crc  uint32
}

// castagnoli is the polynomial that processors compute themselves.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fingerprintLine is the sum of a line that was given without its newline.
func fingerprintLine(line []byte) lineFingerprint {
	return lineFingerprint{size: uint32(min(int64(len(line))+1, math.MaxUint32)), crc: crc32.Checksum(line, castagnoli)}
}

// extend is the fingerprint of a longer line, of which so many bytes were added in
// all, these last.
func (s lineFingerprint) extend(total int64, part []byte) lineFingerprint {
	return lineFingerprint{size: uint32(min(total+1, math.MaxUint32)), crc: crc32.Update(s.crc, castagnoli, part)}
}

// ErrPosition says that bytes are no Position.
var ErrPosition = errors.New("not a position")

// The flags in the first byte of the binary form; the origin is in its low bits.
const (
	originBits       = 0x07
	flagUnterminated = 0x08
	flagUnaligned    = 0x10
	flagFromEnd      = 0x20
	flagFirstLine    = 0x40
	flagPrevLine     = 0x80
	crcBytes         = 4
	digestBytes      = 8
	maxMarshaled     = 64
)

// AppendBinary appends the binary form to b. It does not fail.
func (p Position) AppendBinary(b []byte) ([]byte, error) {
	flags := byte(p.origin) & originBits
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{p.unterminated, flagUnterminated},
		{p.unaligned, flagUnaligned},
		{p.fromEnd, flagFromEnd},
		{p.firstLine != lineFingerprint{}, flagFirstLine},
		{p.prevLine != lineFingerprint{}, flagPrevLine},
	} {
		if f.set {
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
	for _, s := range []lineFingerprint{p.firstLine, p.prevLine} {
		if s != (lineFingerprint{}) {
			b = binary.AppendUvarint(b, uint64(s.size))
			b = binary.LittleEndian.AppendUint32(b, s.crc)
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
	d := decoder{b: b[1:], ok: true}
	q := Position{
		origin: Origin(flags & originBits), unterminated: flags&flagUnterminated != 0,
		unaligned: flags&flagUnaligned != 0, fromEnd: flags&flagFromEnd != 0,
	}
	switch q.origin {
	case FromMergedTable:
		q.step, q.digest = d.varint(), d.uint64()
	case 0:
		q.lines = d.uvarint()
	case FromEventLog, FromLogFile, FromLogStream:
		q.offset, q.index = d.uvarint(), d.uvarint()
		q.firstLine = d.fingerprint(flags&flagFirstLine != 0)
		q.prevLine = d.fingerprint(flags&flagPrevLine != 0)
	default:
		return ErrPosition
	}
	// One form for each position: sizes, flags and padding that nothing writes are
	// refused by writing it again.
	reencoded, _ := q.AppendBinary(make([]byte, 0, maxMarshaled)) // does not fail
	if !d.ok || len(d.b) > 0 || string(reencoded) != string(b) || !q.isValid() {
		return ErrPosition
	}
	*p = q
	return nil
}

// isValid says whether such a position can come out of a journal.
func (p Position) isValid() bool {
	switch p.origin {
	case 0:
		return !p.unterminated && !p.unaligned && (p.fromEnd || p.lines == 0)
	case FromMergedTable:
		return !p.unterminated && !p.unaligned && !p.fromEnd
	}
	end := p.offset
	if p.unterminated {
		end++
	}
	prevLineOK := p.prevLine == (lineFingerprint{}) || int64(p.prevLine.size) <= end
	if p.origin == FromLogStream { // offset is a number of lines
		prevLineOK = p.prevLine == (lineFingerprint{}) || end > 0
	}
	unalignedOK := !p.unaligned || p.index == 0 && !p.unterminated && p.prevLine == (lineFingerprint{})
	return !p.fromEnd && prevLineOK && unalignedOK && (!p.unterminated || p.prevLine != lineFingerprint{})
}

// decoder reads numbers from the front of b until one is bad.
type decoder struct {
	b  []byte
	ok bool
}

func (d *decoder) next(n int) []byte {
	if n <= 0 || n > len(d.b) {
		d.ok = false
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
		d.ok = false
		return 0
	}
	d.next(n)
	return int64(v)
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	d.next(n)
	return v
}

func (d *decoder) uint64() uint64 {
	if b := d.next(digestBytes); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) fingerprint(present bool) (s lineFingerprint) {
	if !present {
		return s
	}
	size := d.uvarint()
	if size == 0 || size > math.MaxUint32 {
		d.ok = false
		return s
	}
	s.size = uint32(size)
	if b := d.next(crcBytes); b != nil {
		s.crc = binary.LittleEndian.Uint32(b)
	}
	return s
}
