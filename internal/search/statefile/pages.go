package statefile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
)

// bbolt does not validate its pages; only the two meta pages have checksums. In a damaged
// file, a page that refers to one of its parents makes it loop forever, a page with a huge
// overflow count is freed page by page, and a page that is in use but also in the free list
// is overwritten. So before a file is opened for writing, checkPages visits all of its pages
// and requires that each has exactly one use.

// The format of a page: a header of 16 bytes with id, flags, count and overflow, followed by
// count elements of 16 bytes.
const (
	pageHeader = 16
	element    = 16

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
	bucketFlag   = 0x01

	boltMagic, boltVersion = 0xED0CDAED, 2
	metaSize               = 64
)

var order = binary.LittleEndian

// pageCheck is a traversal of the pages of a file.
type pageCheck struct {
	file    io.ReaderAt
	size    int64  // of a page, in bytes
	visited []bool // by page id: visited before
}

// checkPages returns an error that wraps errDamaged if the pages of a file are inconsistent.
// fileSize is in bytes.
func checkPages(file io.ReaderAt, fileSize int64, pageSize int) error {
	c := &pageCheck{file: file, size: int64(pageSize)}
	meta, err := c.meta()
	if err != nil {
		return err
	}
	root, freelist, pages := order.Uint64(meta[16:]), order.Uint64(meta[32:]), order.Uint64(meta[40:])
	if pages > uint64(fileSize)/uint64(pageSize) || pages < 2 { //nolint:gosec // neither is negative
		return fmt.Errorf("%w: %d bytes do not match %d pages", errDamaged, fileSize, pages)
	}
	c.visited = make([]bool, pages)
	c.visited[0], c.visited[1] = true, true
	return errors.Join(c.walk(root, true), c.walkFree(freelist))
}

// meta returns the newer one of the two meta pages that have a valid checksum.
func (c *pageCheck) meta() (newest []byte, err error) {
	for i := range int64(2) {
		b := make([]byte, metaSize)
		if _, err := c.file.ReadAt(b, i*c.size+pageHeader); err != nil {
			return nil, err
		}
		h := fnv.New64a()
		_, _ = h.Write(b[:metaSize-8]) // a hash never fails
		isValid := order.Uint32(b) == boltMagic && order.Uint32(b[4:]) == boltVersion && order.Uint64(b[metaSize-8:]) == h.Sum64()
		if isValid && (newest == nil || order.Uint64(b[48:]) > order.Uint64(newest[48:])) {
			newest = b
		}
	}
	if newest == nil {
		return nil, fmt.Errorf("%w: no meta page is valid", errDamaged)
	}
	return newest, nil
}

// page reads a page with its overflow pages, and marks them as visited.
func (c *pageCheck) page(id uint64) (page []byte, err error) {
	if err := c.visit(id); err != nil {
		return nil, err
	}
	var header [pageHeader]byte
	if _, err := c.file.ReadAt(header[:], int64(id)*c.size); err != nil { //nolint:gosec // less than the number of pages
		return nil, err
	}
	if order.Uint64(header[:]) != id {
		return nil, fmt.Errorf("%w: page %d has another id", errDamaged, id)
	}
	more := uint64(order.Uint32(header[12:]))
	for i := range more {
		if err := c.visit(id + 1 + i); err != nil {
			return nil, err
		}
	}
	page = make([]byte, int64(more+1)*c.size)      //nolint:gosec // all of them were marked, so they are in the file
	_, err = c.file.ReadAt(page, int64(id)*c.size) //nolint:gosec // likewise
	if count := int(order.Uint16(page[10:])); err == nil && order.Uint16(page[8:]) != freelistPage && pageHeader+count*element > len(page) {
		err = fmt.Errorf("%w: page %d has %d elements, which do not fit into it", errDamaged, id, count)
	}
	return page, err
}

// visit marks a page as visited. It fails if it is marked already, or beyond the end of the
// file.
func (c *pageCheck) visit(id uint64) error {
	if id >= uint64(len(c.visited)) || c.visited[id] {
		return fmt.Errorf("%w: page %d does not exist, or has two uses", errDamaged, id)
	}
	c.visited[id] = true
	return nil
}

// walk visits the pages of a bucket, and if it is the root bucket, those of the buckets in
// it.
func (c *pageCheck) walk(id uint64, isRoot bool) error {
	page, err := c.page(id)
	if err != nil {
		return err
	}
	flags, count := order.Uint16(page[8:]), int(order.Uint16(page[10:]))
	if flags != branchPage && flags != leafPage {
		return fmt.Errorf("%w: page %d has an unknown type", errDamaged, id)
	}
	for i := range count {
		at := pageHeader + i*element
		e := page[at:]
		if flags == branchPage {
			if err := c.walk(order.Uint64(e[8:]), isRoot); err != nil {
				return err
			}
			continue
		}
		value := at + int(order.Uint32(e[4:])) + int(order.Uint32(e[8:]))
		if value+int(order.Uint32(e[12:])) > len(page) {
			return fmt.Errorf("%w: page %d has an element beyond its end", errDamaged, id)
		}
		if !isRoot || order.Uint32(e)&bucketFlag == 0 || value+8 > len(page) {
			continue
		}
		if root := order.Uint64(page[value:]); root != 0 { // 0 means that the bucket is inline, in the element itself
			if err := c.walk(root, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// walkFree visits the pages of the free list, and the free pages.
func (c *pageCheck) walkFree(id uint64) error {
	page, err := c.page(id)
	if err != nil {
		return err
	}
	count, ids := uint64(order.Uint16(page[10:])), page[pageHeader:]
	if count == math.MaxUint16 { // the count did not fit: the first element has it
		count, ids = order.Uint64(ids), ids[8:]
	}
	if order.Uint16(page[8:]) != freelistPage || count > uint64(len(ids)/8) {
		return fmt.Errorf("%w: page %d is not a valid free list", errDamaged, id)
	}
	for i := range count {
		if err := c.visit(order.Uint64(ids[8*i:])); err != nil {
			return err
		}
	}
	return nil
}
