package runsource

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
)

// Position is a position in a run's log from which a Cursor continues. It is comparable and
// short in its binary form (about 20 bytes), so that a client can hold the positions of
// many runs. It does not depend on a Hub: any process can resume from it.
//
// The zero Position is the beginning of any log. A position in a file has the offset of the
// next line and the fingerprints of the first line and of the line before it. A position in
// a merged table has the highest step that was sent and a digest of all cells sent.
type Position struct {
	Origin Origin // 0: no log was seen yet, and the start is as requested

	// Of a file, in bytes. Of a table, Offset is the number of its changes, which only one
	// journal can interpret; it is not in the binary form.
	Offset    int64
	Index     int64 // number of cells delivered of the line at Offset
	FirstLine LineFingerprint
	PrevLine  LineFingerprint
	// Unterminated: the previous line had no newline, because its run had ended.
	Unterminated bool
	// Unaligned: Offset is a file size; the position is the first line that begins there or
	// later.
	Unaligned bool

	// Of a merged table.
	Step   int64
	Digest uint64

	// The requested start, until a log was seen.
	FromEnd bool
	Lines   int64 // the last lines of a text log
}

// Beginning returns the beginning of a log.
func Beginning() Position { return Position{} }

// Now returns the position of the first line that begins at or after the size that the log
// has at the Hub's first poll.
func Now() Position { return Position{FromEnd: true} }

// LastLines returns the position n lines before the end that a text log has at the Hub's
// first poll. For metrics it is Now.
func LastLines(n int64) Position { return Position{FromEnd: true, Lines: max(n, 0)} }

// FileOffset returns the position in bytes, if the log is a file.
func (p Position) FileOffset() (offset int64, ok bool) {
	return p.Offset, p.Origin == FromEventLog || p.Origin == FromLogFile
}

// Before orders positions of the same log.
func (p Position) Before(q Position) bool {
	return p.Offset < q.Offset || p.Offset == q.Offset && p.Index < q.Index
}

// IsStart reports that nothing was consumed.
func (p Position) IsStart() bool { return p.Offset == 0 && p.Index == 0 && !p.Unaligned }

// LineFingerprint identifies a line by its size, including a newline whether it has one or
// not, and the checksum of the bytes before the newline. The zero LineFingerprint is no
// line.
type LineFingerprint struct {
	Size uint32
	CRC  uint32
}

// castagnoli has hardware support.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// FingerprintLine returns the fingerprint of a line passed without its newline.
func FingerprintLine(line []byte) LineFingerprint {
	return LineFingerprint{Size: uint32(min(int64(len(line))+1, math.MaxUint32)), CRC: crc32.Checksum(line, castagnoli)}
}

// Extend returns the fingerprint after appending part; total is the length of the whole
// line so far.
func (s LineFingerprint) Extend(total int64, part []byte) LineFingerprint {
	return LineFingerprint{Size: uint32(min(total+1, math.MaxUint32)), CRC: crc32.Update(s.CRC, castagnoli, part)}
}

// ErrPosition is the error for bytes that are not a Position.
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

// AppendBinary appends the binary form to b. It never fails.
func (p Position) AppendBinary(b []byte) ([]byte, error) {
	flags := byte(p.Origin) & originBits
	for _, f := range []struct {
		set  bool
		flag byte
	}{
		{p.Unterminated, flagUnterminated},
		{p.Unaligned, flagUnaligned},
		{p.FromEnd, flagFromEnd},
		{p.FirstLine != LineFingerprint{}, flagFirstLine},
		{p.PrevLine != LineFingerprint{}, flagPrevLine},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	b = append(b, flags)
	switch p.Origin {
	case FromMergedTable:
		b = binary.AppendVarint(b, p.Step)
		return binary.LittleEndian.AppendUint64(b, p.Digest), nil
	case 0:
		return binary.AppendUvarint(b, uint64(p.Lines)), nil
	}
	b = binary.AppendUvarint(b, uint64(p.Offset))
	b = binary.AppendUvarint(b, uint64(p.Index))
	for _, s := range []LineFingerprint{p.FirstLine, p.PrevLine} {
		if s != (LineFingerprint{}) {
			b = binary.AppendUvarint(b, uint64(s.Size))
			b = binary.LittleEndian.AppendUint32(b, s.CRC)
		}
	}
	return b, nil
}

// MarshalBinary returns the binary form. It never fails.
func (p Position) MarshalBinary() ([]byte, error) { return p.AppendBinary(nil) }

// UnmarshalBinary parses the binary form, and accepts only what AppendBinary writes. The
// error is ErrPosition.
func (p *Position) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || len(b) > maxMarshaled {
		return ErrPosition
	}
	flags := b[0]
	d := decoder{b: b[1:], ok: true}
	q := Position{
		Origin: Origin(flags & originBits), Unterminated: flags&flagUnterminated != 0,
		Unaligned: flags&flagUnaligned != 0, FromEnd: flags&flagFromEnd != 0,
	}
	switch q.Origin {
	case FromMergedTable:
		q.Step, q.Digest = d.varint(), d.uint64()
	case 0:
		q.Lines = d.uvarint()
	case FromEventLog, FromLogFile, FromLogStream:
		q.Offset, q.Index = d.uvarint(), d.uvarint()
		q.FirstLine = d.fingerprint(flags&flagFirstLine != 0)
		q.PrevLine = d.fingerprint(flags&flagPrevLine != 0)
	default:
		return ErrPosition
	}
	// Each position has one encoding: encoding it again rejects numbers, flags and padding
	// that AppendBinary does not write.
	reencoded, _ := q.AppendBinary(make([]byte, 0, maxMarshaled)) // never fails
	if !d.ok || len(d.b) > 0 || string(reencoded) != string(b) || !q.isValid() {
		return ErrPosition
	}
	*p = q
	return nil
}

// isValid reports whether a journal can produce the position.
func (p Position) isValid() bool {
	switch p.Origin {
	case 0:
		return !p.Unterminated && !p.Unaligned && (p.FromEnd || p.Lines == 0)
	case FromMergedTable:
		return !p.Unterminated && !p.Unaligned && !p.FromEnd
	}
	end := p.Offset
	if p.Unterminated {
		end++
	}
	prevLineOK := p.PrevLine == (LineFingerprint{}) || int64(p.PrevLine.Size) <= end
	if p.Origin == FromLogStream { // Offset is a line number
		prevLineOK = p.PrevLine == (LineFingerprint{}) || end > 0
	}
	unalignedOK := !p.Unaligned || p.Index == 0 && !p.Unterminated && p.PrevLine == (LineFingerprint{})
	return !p.FromEnd && prevLineOK && unalignedOK && (!p.Unterminated || p.PrevLine != LineFingerprint{})
}

// decoder reads numbers from the front of b until one is invalid.
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

func (d *decoder) fingerprint(present bool) (s LineFingerprint) {
	if !present {
		return s
	}
	size := d.uvarint()
	if size == 0 || size > math.MaxUint32 {
		d.ok = false
		return s
	}
	s.Size = uint32(size)
	if b := d.next(crcBytes); b != nil {
		s.CRC = binary.LittleEndian.Uint32(b)
	}
	return s
}

// fingerprintBytes is how many bytes of a log's first line identify it.
const fingerprintBytes = 64 << 10

// FingerprintFirstLine returns the fingerprint of the first line of a log.
func FingerprintFirstLine(line []byte) LineFingerprint {
	return FingerprintLine(line[:min(len(line), fingerprintBytes)])
}
