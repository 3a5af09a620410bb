package search

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/go-json-experiment/json"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/restclient"
	"github.com/runicorn-grpc/runicorn-grpc/internal/runsource"
)

// Parts is a set of the parts of a run.
type Parts uint8

// The parts of a run. Each is read from a different file of the run, and only if needed.
const (
	// PartMetrics is the aggregates of all metrics.
	PartMetrics Parts = 1 << iota
	// PartTimes is start, end and duration.
	PartTimes
	// PartSummary is the run's summary.
	PartSummary
	// PartConfig is the run's configuration.
	PartConfig

	partCount = 4
)

// Record is the indexed data of one run. It is immutable and shared.
type Record struct {
	// Origin is the source of the metrics.
	Origin runsource.Origin
	// Metrics are sorted by name and kind.
	Metrics []Metric
	// Start and End are zero if unknown. End is zero while the run is running.
	Start, End time.Time
	// Running reports whether the run's status file has the status running.
	Running bool

	summary, config document
	images          []Image
	known           Parts
	readAt          [partCount]int64 // when each part was read, in Unix nanoseconds

	// identity and listed are Run.identity and Run.fingerprint when the run was read. If the
	// identity differs, the record may be of another log.
	identity, listed uint64
	ended            bool // by the list and the status file when the run was read
	// unordered means that the steps of the log are not in ascending order, so it is read
	// through the cache of parsed runs.
	unordered   bool
	checkpoint  hashedCheckpoint
	headChecked int64 // when the head of the log was last compared, in Unix nanoseconds
}

// HasEnded reports whether the run had ended when it was read.
func (r *Record) HasEnded() bool { return r.ended }

// Has reports whether all of these parts are known.
func (r *Record) Has(parts Parts) bool { return r != nil && r.known&parts == parts }

// oldest is when the oldest of the parts was read, in Unix nanoseconds; 0 if none was.
func (r *Record) oldest(parts Parts) int64 {
	var oldest int64
	for i := range partCount {
		if at := r.readAt[i]; parts&(1<<i) != 0 && at != 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	return oldest
}

// setRead marks parts as read at a time.
func (r *Record) setRead(part Parts, at time.Time) {
	r.known |= part
	for i := range partCount {
		if part&(1<<i) != 0 {
			r.readAt[i] = at.UnixNano()
		}
	}
}

// Named returns the metrics with a name, one for each kind.
func (r *Record) Named(name string) []Metric { return r.NamedNear(name, new(atomic.Int32)) }

// NamedNear is Named for one metric of many runs. Most runs have it at the same index, which
// near caches between calls.
func (r *Record) NamedNear(name string, near *atomic.Int32) []Metric {
	from := int(near.Load())
	if !r.beginsAt(name, from) {
		// Not slices.BinarySearchFunc, which copies metrics: this runs once per run.
		from = sort.Search(len(r.Metrics), func(i int) bool { return r.Metrics[i].Name >= name })
		near.Store(int32(from)) //nolint:gosec // at most maxMetrics
	}
	to := from
	for to < len(r.Metrics) && r.Metrics[to].Name == name {
		to++
	}
	return r.Metrics[from:to]
}

// Images returns the images of the log, one for each key.
func (r *Record) Images() []Image { return r.images }

// Params calls yield for each scalar of the configuration, and then for each of the summary,
// whose names start with "summary.". Nested keys are joined by dots. In the configuration,
// arguments precede additions.
func (r *Record) Params(yield func(name string, v filter.Value) bool) {
	for _, group := range []string{"args", "extra"} {
		for i := range r.config {
			name, ok := strings.CutPrefix(r.config[i].key, group+keySeparator)
			if ok && !yield(dotted(name), r.config[i].value) {
				return
			}
		}
	}
	for i := range r.summary {
		if !yield("summary."+dotted(r.summary[i].key), r.summary[i].value) {
			return
		}
	}
}

func dotted(key string) string { return strings.ReplaceAll(key, keySeparator, ".") }

// beginsAt reports whether index i is the first one of the metrics with a name.
func (r *Record) beginsAt(name string, i int) bool {
	return i < len(r.Metrics) && r.Metrics[i].Name == name && (i == 0 || r.Metrics[i-1].Name != name)
}

// Summary returns a value of the summary by its path of keys.
func (r *Record) Summary(keys ...string) filter.Value {
	return r.summary.value(strings.Join(keys, keySeparator))
}

// Config returns a value of the configuration by its path of keys.
func (r *Record) Config(keys ...string) filter.Value {
	return r.config.value(strings.Join(keys, keySeparator))
}

// Duration is how long the run took, or has been running.
func (r *Record) Duration(now time.Time) (d time.Duration, ok bool) {
	switch {
	case r.Start.IsZero():
		return 0, false
	case !r.End.IsZero():
		return max(0, r.End.Sub(r.Start)), true
	case r.Running:
		return max(0, now.Sub(r.Start)), true
	}
	return 0, false
}

// bytes estimates the memory of the record.
func (r *Record) bytes() int64 {
	n := int64(unsafe.Sizeof(*r)) + recordOverhead
	n += int64(len(r.Metrics)) * int64(unsafe.Sizeof(Metric{}))
	for i := range r.Metrics {
		n += int64(len(r.Metrics[i].LastText))
	}
	n += int64(len(r.images)) * int64(unsafe.Sizeof(Image{}))
	return n + r.summary.bytes() + r.config.bytes()
}

// recordOverhead is the memory of a record's entry in the index, with the run's id, in bytes.
const recordOverhead = 160

// field is a value of a document. The key is its path of keys.
type field struct {
	key   string
	value filter.Value
}

// document is a flattened JSON object, sorted by key.
type document []field

const (
	// keySeparator joins the keys of nested objects. It does not occur in keys.
	keySeparator = "\x1f"
	// maxFields and maxDocument bound a document, in values and bytes.
	maxFields   = 2000
	maxDocument = 128 << 10
)

// errDocumentTooLarge means that a summary or a configuration exceeds the bounds of a
// document.
var errDocumentTooLarge = errors.New("too large to be searched")

// newDocument flattens the values of a Viewer.
func newDocument(values restclient.Values, names func(string) string) (document, error) {
	f := &flattener{names: names}
	for key, v := range values {
		f.add(key, v, 0)
	}
	if f.tooLarge {
		return nil, fmt.Errorf("%w: more than %d values, or %d bytes", errDocumentTooLarge, maxFields, maxDocument)
	}
	slices.SortFunc(f.fields, func(a, b field) int { return strings.Compare(a.key, b.key) })
	return slices.Clip(f.fields), nil
}

type flattener struct {
	names    func(string) string
	fields   document
	size     int
	tooLarge bool
}

// maxNesting bounds the depth of flattened objects. Deeper values only count as present; they
// cannot be compared.
const maxNesting = 16

func (f *flattener) add(key string, v restclient.Value, depth int) {
	value, nested := valueOf(v)
	if !value.Known() { // null
		return
	}
	f.size += len(key) + len(v.Text)
	if f.tooLarge = f.tooLarge || len(f.fields) >= maxFields || f.size > maxDocument; f.tooLarge {
		return
	}
	f.fields = append(f.fields, field{f.names(key), value})
	if !nested || depth == maxNesting {
		return
	}
	var inner restclient.Values
	if json.Unmarshal([]byte(v.Text), &inner) != nil {
		return // it is a list
	}
	f.size -= len(v.Text)
	for name, w := range inner {
		f.add(key+keySeparator+name, w, depth+1)
	}
}

// valueOf converts a scalar; lists and objects are opaque.
func valueOf(v restclient.Value) (value filter.Value, nested bool) {
	switch v.Kind {
	case restclient.ValueNumber, restclient.ValueDecimal:
		return filter.NumberValue(v.Number), false
	case restclient.ValueInteger:
		return filter.IntValue(v.Integer), false
	case restclient.ValueBool:
		return filter.BoolValue(v.Bool), false
	case restclient.ValueText:
		return filter.TextValue(v.Text), false
	case restclient.ValueJSON:
		return filter.OpaqueValue(), strings.HasPrefix(v.Text, "{")
	}
	return filter.Value{}, false
}

func (d document) value(key string) filter.Value {
	i, ok := slices.BinarySearchFunc(d, key, func(f field, key string) int { return strings.Compare(f.key, key) })
	if !ok {
		return filter.Value{}
	}
	return d[i].value
}

func (d document) bytes() int64 {
	n := int64(len(d)) * int64(unsafe.Sizeof(field{}))
	for i := range d {
		n += int64(len(d[i].key)/4 + d[i].value.TextLen()) // keys are shared among runs
	}
	return n
}

// configOf adds short names to a configuration: lr for args.lr, and seed for extra.seed. An
// argument hides an addition with the same name.
func configOf(values restclient.Values) restclient.Values {
	out := make(restclient.Values, 2*len(values))
	for _, group := range []string{"extra.", "args."} {
		for key, v := range values {
			if name, ok := strings.CutPrefix(key, group); ok {
				out[name] = v
				out[strings.TrimSuffix(group, ".")+keySeparator+name] = v
			}
		}
	}
	return out
}
