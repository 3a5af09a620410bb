package restclient

import (
	"bufio"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

// zipReader reads a zip entry by entry as it arrives. It supports what Python's zipfile
// writes to a file, where sizes precede each entry. archive/zip needs the end of the file
// first, and so all of it.
//
// Entry headers have no checksum; the directory at the end repeats them, and both are
// compared. So the contents are verified only when next has returned io.EOF.
type zipReader struct {
	r     *bufio.Reader
	entry *zipEntry
	heads hash.Hash32 // of the entry headers
}

// zipEntry is one file of a zip. Reading to the end verifies its size and checksum.
type zipEntry struct {
	Name string
	Size int64

	packed io.LimitedReader
	body   io.Reader
	sum    hash.Hash32
	want   uint32
	left   int64
}

var errZip = errors.New("not a zip that can be read as a stream")

const (
	zipHeaderSize = 26 // after the signature
	zipRecordSize = 42 // of an entry in the directory
	zipFile       = 0x04034b50
	zipDirectory  = 0x02014b50 // signature after the last entry
	zipStored     = 0
	zipDeflated   = 8
	zipSizesLater = 1 << 3
	zip64         = 1<<32 - 1
)

func newZipReader(r io.Reader) *zipReader {
	return &zipReader{r: bufio.NewReaderSize(r, 64<<10), heads: crc32.NewIEEE()}
}

// next returns the next entry, or io.EOF after the last one. It skips the rest of the
// previous entry.
func (z *zipReader) next() (*zipEntry, error) {
	if z.entry != nil {
		if _, err := io.Copy(io.Discard, &z.entry.packed); err != nil {
			return nil, err
		}
		if z.entry.packed.N > 0 {
			return nil, io.ErrUnexpectedEOF
		}
	}
	var signature uint32
	if err := binary.Read(z.r, binary.LittleEndian, &signature); err != nil {
		return nil, errors.Join(errZip, err)
	}
	switch signature {
	case zipDirectory:
		if err := z.checkDirectory(); err != nil {
			return nil, err
		}
		_, err := io.Copy(io.Discard, z.r) // reports a truncated body
		if err == nil {
			err = io.EOF
		}
		return nil, err
	case zipFile:
		return z.open()
	}
	return nil, errZip
}

// checkDirectory compares the directory with the entry headers.
func (z *zipReader) checkDirectory() error {
	heads := crc32.NewIEEE()
	for signature := uint32(zipDirectory); signature == zipDirectory; {
		var record [zipRecordSize]byte
		if _, err := io.ReadFull(z.r, record[:]); err != nil {
			return errors.Join(errZip, err)
		}
		short := func(at int) int { return int(binary.LittleEndian.Uint16(record[at:])) }
		text := make([]byte, short(24)+short(26)+short(28))
		if _, err := io.ReadFull(z.r, text); err != nil {
			return errors.Join(errZip, err)
		}
		_, _ = heads.Write(record[12:24]) // never fails
		_, _ = heads.Write(text[:short(24)])
		if err := binary.Read(z.r, binary.LittleEndian, &signature); err != nil {
			return errors.Join(errZip, err)
		}
	}
	if heads.Sum32() != z.heads.Sum32() {
		return fmt.Errorf("%w: its directory does not match its entries", errZip)
	}
	return nil
}

// open reads the header of an entry.
func (z *zipReader) open() (*zipEntry, error) {
	var header [zipHeaderSize]byte
	if _, err := io.ReadFull(z.r, header[:]); err != nil {
		return nil, errors.Join(errZip, err)
	}
	short := func(at int) uint16 { return binary.LittleEndian.Uint16(header[at:]) }
	long := func(at int) uint32 { return binary.LittleEndian.Uint32(header[at:]) }
	flags, method, packed, size := short(2), short(4), long(14), long(18)
	text := make([]byte, int(short(22))+int(short(24)))
	if _, err := io.ReadFull(z.r, text); err != nil {
		return nil, errors.Join(errZip, err)
	}
	if flags&zipSizesLater != 0 || packed == zip64 || size == zip64 {
		return nil, errZip
	}
	_, _ = z.heads.Write(header[10:22]) // checksum and sizes
	_, _ = z.heads.Write(text[:short(22)])
	e := &zipEntry{Name: string(text[:short(22)]), Size: int64(size), sum: crc32.NewIEEE(), want: long(10), left: int64(size)}
	e.packed = io.LimitedReader{R: z.r, N: int64(packed)}
	switch method {
	case zipStored:
		e.body = &e.packed
	case zipDeflated:
		e.body = flate.NewReader(&e.packed)
	default:
		return nil, errZip
	}
	z.entry = e
	return e, nil
}

// Read reads the content.
func (e *zipEntry) Read(p []byte) (int, error) {
	n, err := e.body.Read(p[:min(int64(len(p)), e.left+1)])
	e.left -= int64(n)
	_, _ = e.sum.Write(p[:n]) // never fails
	switch {
	case e.left < 0, err == io.EOF && (e.left > 0 || e.sum.Sum32() != e.want):
		return n, fmt.Errorf("%s: %w: its size or its checksum is wrong", e.Name, errZip)
	}
	return n, err
}
