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

// Parts says what of a run a caller needs.
type Parts uint8

// The parts of a run. Each is read from another file of the run, and only if needed.
const (
	// PartMetrics are the sums of each metric.
	PartMetrics Parts = 1 << iota
	// PartTimes are start, end and duration.
	PartTimes
	// PartSummary is the run's summary.
	PartSummary
	// PartConfig is the run's configuration.
	PartConfig

	partCount = 4
)

// Record is what is known of one run. It is immutable and shared.
type Record struct {
	// Origin is what the metrics were read from.
	Origin runsource.Origin
	// Metrics are sorted by name and kind.
	Metrics []Metric
	// Start and End are zero if unknown; End is zero of a run that runs.
	Start, End time.Time
	// Running says that the run's status file says so.
	Running bool

	summary, config document
	images          []Image
	known           Parts
	readAt          [partCount]int64 // when each part was read, in unix nanoseconds

	// identity is what a run in a list is known by: another one means that the record may
	// be about another log. Listed changes with everything that the list says of the run.
	identity, listed uint64
	ended            bool // the list or the status file said so when it was read
	// unordered says that the log's steps do not ascend: it is read through the cache of
	// parsed runs.
	unordered   bool
	mark        mark
	headChecked int64 // when the head of the log was compared, in unix nanoseconds
}

// HasEnded says that the run had ended when it was read.
func (r *Record) HasEnded() bool { return r.ended }

// Has says whether all of these parts are known.
func (r *Record) Has(parts Parts) bool { return r != nil && r.known&parts == parts }

// oldest is when the oldest of the parts was read.
func (r *Record) oldest(parts Parts) int64 {
	var oldest int64
	for i := range partCount {
		if at := r.readAt[i]; parts&(1<<i) != 0 && at != 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	return oldest
}

// setRead notes that a part was read at a time.
func (r *Record) setRead(part Parts, at time.Time) {
	r.known |= part
	for i := range partCount {
		if part&(1<<i) != 0 {
			r.readAt[i] = at.UnixNano()
		}
	}
}

// Named returns the metrics of a name, one for each kind.
func (r *Record) Named(name string) []Metric { return r.NamedNear(name, new(atomic.Int32)) }

// NamedNear is Named for a metric of many runs: most of them have it in the same place, which
// near remembers.
func (r *Record) NamedNear(name string, near *atomic.Int32) []Metric {
	from := int(near.Load())
	if !r.beginsAt(name, from) {
		// Not slices.BinarySearchFunc: it copies metrics, and this is done for each run.
		from = sort.Search(len(r.Metrics), func(i int) bool { return r.Metrics[i].Name >= name })
		near.Store(int32(from)) //nolint:gosec // at most maxMetrics
	}
	to := from
	for to < len(r.Metrics) && r.Metrics[to].Name == name {
		to++
	}
	return r.Metrics[from:to]
}

// Images are the images of the log, one for each key.
func (r *Record) Images() []Image { return r.images }

// Params calls yield for each scalar of the configuration by its name, which nested keys
// are joined to by dots, and then for each of the summary, whose names begin with
// "summary.". Arguments come before what was added to them.
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

// beginsAt says whether the metrics of a name begin there.
func (r *Record) beginsAt(name string, i int) bool {
	return i < len(r.Metrics) && r.Metrics[i].Name == name && (i == 0 || r.Metrics[i-1].Name != name)
}

// Summary returns the value of a key of the summary; nested keys are several.
func (r *Record) Summary(keys ...string) filter.Value {
	return r.summary.value(strings.Join(keys, keySeparator))
}

// Config returns the value of a key of the configuration.
func (r *Record) Config(keys ...string) filter.Value {
	return r.config.value(strings.Join(keys, keySeparator))
}

// Duration is how long the run lasted, or has lasted by now.
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

// recordOverhead is what the index's map adds to a record, with the run's id.
const recordOverhead = 160

// field is one scalar of a document, or a list in it, by its path of keys.
type field struct {
	key   string
	value filter.Value
}

// document is a flattened JSON object, by key.
type document []field

const (
	// keySeparator joins the keys of nested objects. No key has it.
	keySeparator = "\x1f"
	// maxFields and maxDocument bound a document that is held.
	maxFields   = 2000
	maxDocument = 128 << 10
)

// errDocumentTooLarge says that a summary or a configuration is larger than what is held.
var errDocumentTooLarge = errors.New("too large to be searched")

// newDocument flattens what a Viewer says.
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

// maxNesting bounds how deep objects are followed; deeper ones are present and not
// comparable.
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
		return // a list
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

// configOf names the values of a configuration: lr and args.lr for an argument, seed and
// extra.seed for what was added. An argument hides an addition of the same name.
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
