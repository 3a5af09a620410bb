package export

import (
	"math/bits"

	"github.com/apache/arrow-go/v18/arrow/memory"
)

// poolAllocator gives out the memory that was given back. The writer of Parquet
// needs the same few buffers for every row group: without it, a million rows
// leave several times the file behind as garbage. It belongs to one file, and
// to one goroutine.
type poolAllocator struct {
	memory.GoAllocator
	free [maxClass + 1][][]byte // by the logarithm of the capacity
}

// minClass and maxClass are the logarithms of the smallest and the largest
// buffers that are kept.
const (
	minClass = 6
	maxClass = 24
)

// Allocate returns zeroes, as the allocators of Arrow do.
func (p *poolAllocator) Allocate(size int) []byte {
	class := max(minClass, bits.Len(uint(max(size, 1)-1)))
	if class > maxClass {
		return p.GoAllocator.Allocate(size)
	}
	if last := len(p.free[class]) - 1; last >= 0 {
		buf := p.free[class][last][:size]
		p.free[class] = p.free[class][:last]
		clear(buf)
		return buf
	}
	return p.GoAllocator.Allocate(1 << class)[:size]
}

// Reallocate makes a buffer longer or shorter; what is new is zero.
func (p *poolAllocator) Reallocate(size int, b []byte) []byte {
	if size <= cap(b) {
		old := len(b)
		b = b[:size]
		clear(b[min(old, size):])
		return b
	}
	larger := p.Allocate(size)
	copy(larger, b)
	p.Free(b)
	return larger
}

// Free takes a buffer back.
func (p *poolAllocator) Free(b []byte) {
	class := bits.Len(uint(cap(b))) - 1
	if cap(b) == 1<<max(class, 0) && minClass <= class && class <= maxClass {
		p.free[class] = append(p.free[class], b[:0])
	}
}
