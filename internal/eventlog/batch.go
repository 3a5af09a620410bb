package eventlog

// Batch collects rows as columns, with every point in log order, for tails. A metric of
// mixed kinds makes several series. It is not safe for concurrent use.
type Batch struct {
	selection Selection
	used      []*slot // those with a series, in the order of their first point
	points    int
	bytes     int               // of names, texts and digits
	free      []*Series         // emptied series, for reuse
	slots     map[slotKey]*slot // by name and kind, selected or not
	prevSlots []*slot           // the slots of the previous row, in its order
}

type slotKey struct {
	name string
	kind Kind
}

// slot caches whether a name and kind are selected.
type slot struct {
	slotKey
	selected bool
	series   *Series // nil until this batch has a point of it
}

// NewBatch returns an empty batch for the selected points.
func NewBatch(selection Selection) *Batch {
	return &Batch{selection: selection, slots: map[slotKey]*slot{}}
}

// Append adds the selected cells of the row, and copies what it keeps. Null is no point.
// Duplicate names in one row all become points; a Parser keeps only the last one.
func (b *Batch) Append(row *Row) {
	if !b.selection.HasStep(row.Step) {
		return
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Kind == KindNone {
			continue
		}
		if s := b.slot(i, slotKey{c.Name, c.Kind}); s.selected {
			if s.series == nil {
				s.series = b.newSeries(s.slotKey)
				b.used = append(b.used, s)
				b.bytes += len(s.name)
			}
			appendCell(s.series, row, c)
			b.points++
			b.bytes += len(c.Text) + len(c.Exact)
		}
	}
}

// slot returns the slot of the i-th cell. Consecutive rows are similar, so the previous
// row's slot is tried first.
func (b *Batch) slot(i int, k slotKey) *slot {
	if i < len(b.prevSlots) && b.prevSlots[i] != nil && b.prevSlots[i].slotKey == k {
		return b.prevSlots[i]
	}
	s, ok := b.slots[k]
	if !ok {
		s = &slot{slotKey: k, selected: b.selection.HasName(k.name)}
		b.slots[k] = s
	}
	for len(b.prevSlots) <= i {
		b.prevSlots = append(b.prevSlots, nil)
	}
	b.prevSlots[i] = s
	return s
}

func (b *Batch) newSeries(k slotKey) *Series {
	var s *Series
	if last := len(b.free) - 1; last >= 0 {
		s, b.free = b.free[last], b.free[:last]
	} else {
		s = &Series{}
	}
	s.Name, s.Kind = k.name, k.kind
	return s
}

func appendCell(s *Series, row *Row, c *Cell) {
	if c.Exact != "" {
		s.Exact = append(s.Exact, Exact{Index: s.Len(), Text: c.Exact})
	}
	if c.Kind == KindText {
		s.Texts = append(s.Texts, c.Text)
	} else {
		s.Values = append(s.Values, c.Number)
	}
	if row.Position >= 0 {
		s.Positions = append(s.Positions, row.Position)
	}
	s.Steps = append(s.Steps, row.Step)
	s.Times = append(s.Times, row.seconds())
}

// seconds returns the row's time, 0 if it has none.
func (r *Row) seconds() float64 {
	if !r.HasTime {
		return 0
	}
	return r.Time
}

// Points returns the number of points in all series.
func (b *Batch) Points() int { return b.points }

// Bytes estimates the size of names, texts and digits on the wire.
func (b *Batch) Bytes() int { return b.bytes }

// Series returns the series in the order of their first point. The batch owns their columns
// and overwrites them after a Reset.
func (b *Batch) Series() []Series {
	series := make([]Series, len(b.used))
	for i, s := range b.used {
		series[i] = *s.series
	}
	return series
}

// Take returns the series, whose columns the caller then owns, and resets the batch.
func (b *Batch) Take() []Series {
	series := b.Series()
	for _, s := range b.used {
		*s.series = Series{}
	}
	b.Reset()
	return series
}

// Reset empties the batch and keeps its memory for reuse.
func (b *Batch) Reset() {
	for _, s := range b.used {
		s.series.truncate()
		b.free = append(b.free, s.series)
		s.series = nil
	}
	clear(b.used)
	b.used, b.points, b.bytes = b.used[:0], 0, 0
	if len(b.slots) > maxNames {
		clear(b.slots)
		clear(b.prevSlots)
	}
}
