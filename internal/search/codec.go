package search

import (
	"cmp"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/runicorn-grpc/runicorn-grpc/internal/eventlog"
	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// codecVersion must change with the binary format of records. Files of other versions are not
// read.
const codecVersion = "2"

// errRecord means that bytes are not a valid record.
var errRecord = errors.New("not a record")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// encode returns the binary form of a record: a checksum, followed by the fields.
func (r *Record) encode() []byte {
	w := writer{b: make([]byte, crc32.Size, 256+100*len(r.Metrics))}
	w.uint(uint64(r.Origin), uint64(r.known), r.identity, r.listed, r.flags())
	w.int(r.readAt[:]...)
	w.time(r.Start)
	w.time(r.End)
	m := &r.checkpoint
	w.int(m.offset, m.size, r.headChecked)
	w.uint(m.head, m.tail, uint64(m.headLen), uint64(m.tailLen), m.etag)
	for _, d := range []document{r.summary, r.config} {
		w.uint(uint64(len(d)))
		for i := range d {
			w.text(d[i].key)
			w.b = d[i].value.Append(w.b)
		}
	}
	w.uint(uint64(len(r.Metrics)))
	for i := range r.Metrics {
		w.metric(&r.Metrics[i])
	}
	w.uint(uint64(len(r.images)))
	for i := range r.images {
		w.image(&r.images[i])
	}
	binary.LittleEndian.PutUint32(w.b, crcOf(w.b[crc32.Size:]))
	return w.b
}

const (
	flagRunning = 1 << iota
	flagEnded
	flagUnordered
	flagUnterminated
)

func (r *Record) flags() (flags uint64) {
	for flag, isSet := range map[uint64]bool{
		flagRunning: r.Running, flagEnded: r.ended, flagUnordered: r.unordered, flagUnterminated: r.checkpoint.unterminated,
	} {
		if isSet {
			flags |= flag
		}
	}
	return flags
}

// decodeRecord decodes the binary form. names interns strings. The error is errRecord.
func decodeRecord(b []byte, names func(string) string) (*Record, error) {
	if len(b) < crc32.Size || binary.LittleEndian.Uint32(b) != crcOf(b[crc32.Size:]) {
		return nil, errRecord
	}
	d := &reader{b: b[crc32.Size:], names: names, ok: true}
	r := &Record{Origin: runsource.Origin(d.uint()), known: Parts(d.uint()), identity: d.uint(), listed: d.uint()} //nolint:gosec // checked below
	flags := d.uint()
	r.Running, r.ended = flags&flagRunning != 0, flags&flagEnded != 0
	r.unordered, r.checkpoint.unterminated = flags&flagUnordered != 0, flags&flagUnterminated != 0
	for i := range r.readAt {
		r.readAt[i] = d.int()
	}
	r.Start, r.End = d.time(), d.time()
	m := &r.checkpoint
	m.offset, m.size, r.headChecked = d.int(), d.int(), d.int()
	m.head, m.tail = d.uint(), d.uint()
	m.headLen, m.tailLen, m.etag = d.length(runsource.CheckpointBytes), d.length(runsource.CheckpointBytes), d.uint()
	r.summary, r.config = d.document(), d.document()
	n := d.count()
	r.Metrics = make([]Metric, 0, n)
	for range n {
		r.Metrics = append(r.Metrics, d.metric())
	}
	for range d.count() {
		r.images = append(r.images, d.image())
	}
	if !d.ok || len(d.b) > 0 || !r.isValid() {
		return nil, errRecord
	}
	return r, nil
}

// isValid reports whether encode can have written such a record.
func (r *Record) isValid() bool {
	m := &r.checkpoint
	return r.known < 1<<partCount && m.offset >= int64(m.tailLen) && m.size >= 0 &&
		slices.IsSortedFunc(r.Metrics, compareMetrics) && slices.IsSortedFunc(r.images, compareImages) &&
		r.summary.isSorted() && r.config.isSorted() &&
		(r.known&PartMetrics == 0 || r.Origin == runsource.FromEventLog || r.Origin == runsource.FromMergedTable)
}

func (d document) isSorted() bool {
	return slices.IsSortedFunc(d, func(a, b field) int { return cmp.Compare(a.key, b.key) })
}

// writer appends encoded values.
type writer struct{ b []byte }

func (w *writer) uint(values ...uint64) {
	for _, v := range values {
		w.b = binary.AppendUvarint(w.b, v)
	}
}

func (w *writer) int(values ...int64) {
	for _, v := range values {
		w.b = binary.AppendVarint(w.b, v)
	}
}

func (w *writer) float(values ...float64) {
	for _, v := range values {
		w.b = binary.LittleEndian.AppendUint64(w.b, math.Float64bits(v))
	}
}

func (w *writer) text(s string) {
	w.uint(uint64(len(s)))
	w.b = append(w.b, s...)
}

// time encodes the zero time as 0: no run started at the Unix epoch.
func (w *writer) time(t time.Time) {
	if t.IsZero() {
		w.int(0)
		return
	}
	w.int(t.UnixNano())
}

func (w *writer) metric(m *Metric) {
	w.text(m.Name)
	flags := uint64(m.Kind) << 1
	if m.hasRange {
		flags |= 1
	}
	w.uint(flags)
	w.int(m.Count, m.FirstStep, m.nonFinite)
	w.text(m.LastText)
	w.point(m.Last)
	if m.hasRange {
		w.point(m.min, m.max, m.finite)
	}
}

func (w *writer) point(points ...Point) {
	for _, p := range points {
		w.int(p.Step)
		w.float(p.Time, p.Value)
	}
}

// reader decodes what a writer has encoded. After an error ok is false, and all values are
// zero.
type reader struct {
	b     []byte
	names func(string) string
	ok    bool
}

func (d *reader) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	return advance(d, v, n)
}

func (d *reader) int() int64 {
	v, n := binary.Varint(d.b)
	return advance(d, v, n)
}

func advance[T any](d *reader, v T, n int) T {
	var zero T
	if n <= 0 || n > len(d.b) {
		d.ok, d.b = false, nil
		return zero
	}
	d.b = d.b[n:]
	return v
}

func (d *reader) float() float64 {
	if len(d.b) < 8 {
		return advance(d, 0.0, 0)
	}
	return advance(d, math.Float64frombits(binary.LittleEndian.Uint64(d.b)), 8)
}

// count decodes a number of elements, each of which takes at least one byte.
func (d *reader) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		return advance(d, 0, 0)
	}
	return int(n) //nolint:gosec // at most the number of bytes
}

// length decodes a number that must not exceed a limit.
func (d *reader) length(limit uint64) uint16 {
	n := d.uint()
	if n > limit {
		return advance(d, uint16(0), 0)
	}
	return uint16(n) //nolint:gosec // the limit fits
}

func (d *reader) text() string {
	n := d.count()
	if n == 0 {
		return ""
	}
	return advance(d, string(d.b[:n]), n)
}

func (d *reader) time() time.Time {
	n := d.int()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func (d *reader) document() document {
	n := min(d.count(), maxFields)
	if n == 0 {
		return nil
	}
	out := make(document, 0, n)
	for range n {
		key := d.names(d.text())
		value, rest, ok := filter.ReadValue(d.b)
		if d.ok = d.ok && ok; !d.ok {
			return nil
		}
		d.b = rest
		out = append(out, field{key, value})
	}
	return out
}

func (d *reader) metric() (m Metric) {
	m.Name = d.names(d.text())
	flags := d.uint()
	m.Kind, m.hasRange = eventlog.Kind(flags>>1), flags&1 != 0 //nolint:gosec // checked below
	d.ok = d.ok && m.Kind > eventlog.KindNone && m.Kind <= eventlog.KindText && flags>>1 <= uint64(eventlog.KindText)
	m.Count, m.FirstStep, m.nonFinite = d.int(), d.int(), d.int()
	m.LastText = d.text()
	m.Last = d.point()
	if m.hasRange {
		m.min, m.max, m.finite = d.point(), d.point(), d.point()
	}
	return m
}

func (d *reader) point() Point { return Point{Step: d.int(), Time: d.float(), Value: d.float()} }

func crcOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
