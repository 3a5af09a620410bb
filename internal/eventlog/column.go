package eventlog

import (
	"iter"
	"math/bits"
	"slices"
)

// The additional kinds of stored cells. They never leave the Table.
const (
	// kindExact is an integer that a double cannot hold: its value is an index into the
	// table's dictionary, like that of a KindText cell.
	kindExact Kind = 100 + iota
	// kindErased, in the tail of a group, erases the cell of an earlier row of the same
	// step.
	kindErased
)

// column has the cells of one metric. Its slices may be shorter than the group's rows; the
// missing cells are absent.
type column struct {
	name    string
	group   *group
	values  []float64
	present []uint64  // one bit per row
	kinds   []Kind    // nil while all cells are plain numbers
	times   []float64 // nil while all cells have the times of their rows
	count   int       // cells that are present
	put     uint64    // the last Put that had a cell of this metric
}

const wordBits = 64

func (c *column) has(row int) bool {
	word := row / wordBits
	return word < len(c.present) && c.present[word]>>(row%wordBits)&1 != 0
}

// kind returns the kind of a present cell.
func (c *column) kind(row int) Kind {
	if c.kinds == nil {
		return KindNumber
	}
	return c.kinds[row]
}

// time returns the time of a present cell.
func (c *column) time(row int) float64 {
	if c.times == nil {
		return c.group.times[row]
	}
	return c.times[row]
}

// set writes a cell. The row's time must be set before: the column gets separate times when
// a cell's time differs for the first time.
func (c *column) set(row int, kind Kind, value, time float64) {
	c.values = extend(c.group, c.values, row+1, 1)
	c.values[row] = value
	if c.kinds == nil && kind != KindNumber {
		c.kinds = slices.Repeat([]Kind{KindNumber}, len(c.values))
	}
	if c.kinds != nil {
		c.kinds = extend(c.group, c.kinds, row+1, 1)
		c.kinds[row] = kind
	}
	if c.times == nil && time != c.group.times[row] {
		c.times = slices.Clone(c.group.times[:len(c.values)])
	}
	if c.times != nil {
		c.times = extend(c.group, c.times, row+1, 1)
		c.times[row] = time
	}
	word, bit := row/wordBits, uint64(1)<<(row%wordBits)
	c.present = extend(c.group, c.present, word+1, wordBits)
	if c.present[word]&bit == 0 {
		c.present[word] |= bit
		c.count++
	}
}

// erase makes a cell absent.
func (c *column) erase(row int) {
	if c.has(row) {
		c.present[row/wordBits] &^= 1 << (row % wordBits)
		c.count--
	}
}

// rows iterates over the rows in [from, to) with a present cell.
func (c *column) rows(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for row := from; row < to && row/wordBits < len(c.present); {
			word := c.present[row/wordBits] >> (row % wordBits)
			if word == 0 {
				row += wordBits - row%wordBits
				continue
			}
			if row += bits.TrailingZeros64(word); row >= to || !yield(row) {
				return
			}
			row++
		}
	}
}

// backward iterates over the same rows from the last to the first.
func (c *column) backward(from, to int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for row := min(to, len(c.values)) - 1; row >= from; {
			word := c.present[row/wordBits] << (wordBits - 1 - row%wordBits)
			if word == 0 {
				row -= row%wordBits + 1
				continue
			}
			if row -= bits.LeadingZeros64(word); row < from || !yield(row) {
				return
			}
			row--
		}
	}
}

// countIn returns the number of rows in [from, to) with a present cell.
func (c *column) countIn(from, to int) int {
	to = min(to, len(c.values))
	if from == 0 && to == len(c.values) {
		return c.count
	}
	n := 0
	for row := from; row < to; {
		word := c.present[row/wordBits] >> (row % wordBits)
		if size := min(wordBits-row%wordBits, to-row); size < wordBits {
			word &= 1<<size - 1
		}
		n += bits.OnesCount64(word)
		row += wordBits - row%wordBits
	}
	return n
}

// detach removes the rows from row on and returns them as a column whose first row is base.
func (c *column) detach(row int) (old column, base int) {
	if row == 0 {
		old = *c
		c.values, c.present, c.kinds, c.times, c.count = nil, nil, nil, nil, 0
		return old, 0
	}
	row = min(row, len(c.values))
	base = row - row%wordBits
	old.values = slices.Clone(c.values[base:])
	old.present = slices.Clone(c.present[min(base/wordBits, len(c.present)):])
	if c.kinds != nil {
		old.kinds = slices.Clone(c.kinds[base:])
	}
	if c.times != nil {
		old.times = slices.Clone(c.times[base:])
	}
	for i := range c.rows(row, len(c.values)) {
		c.erase(i)
	}
	for i := range old.rows(0, row-base) {
		old.erase(i)
	}
	c.values = c.values[:row]
	c.kinds = c.kinds[:min(row, len(c.kinds))]
	c.times = c.times[:min(row, len(c.times))]
	return old, base
}

// bytes estimates the memory of the column.
func (c *column) bytes() int {
	const word = 8
	return word*(cap(c.values)+cap(c.present)+cap(c.times)) + cap(c.kinds) + columnOverhead + 2*len(c.name)
}

// columnOverhead is the approximate memory of a column besides its cells, in bytes: the
// struct, its map entry and unused capacity.
const columnOverhead = 320

// extend extends a slice to length n with zero values. Each element covers the given number
// of rows.
func extend[T any](g *group, s []T, n, rows int) []T {
	if n <= len(s) {
		return s
	}
	if n > cap(s) {
		grown := make([]T, len(s), max(n, g.capacityFor(n*rows)/rows))
		copy(grown, s)
		s = grown
	}
	old := len(s)
	s = s[:n]
	clear(s[old:]) // truncation may have left values here
	return s
}
