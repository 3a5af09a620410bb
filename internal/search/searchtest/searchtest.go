// Package searchtest is a slow and plain second reading of what filters and orders mean,
// for tests: runs are read by realviewer's own reader of event files, values are Go values,
// and nothing of the search index or of package filter is used but the quoting of names.
package searchtest

import (
	"cmp"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
	"github.com/runicorn-grpc/runicorn-grpc/internal/realviewer"
)

// Run is a run as its files have it.
type Run struct {
	ID  string
	Log *realviewer.Log
	// IsTable: it is read from the merged table of 0.5, where what is not finite is missing.
	IsTable bool
	// Summary and Config are their values by the names that filters give them.
	Summary, Config map[string]any

	text []byte                 // of Log, where it grows
	rows []realviewer.MergedRow // of Log, once they were asked for
}

// NewRun is a run with an event file, which has ended.
func NewRun(id string, events []byte) *Run {
	return &Run{ID: id, Log: realviewer.ParseLog(events).Ended(), text: events}
}

// Append adds to the event file of a run that was made by NewRun.
func (r *Run) Append(events []byte) {
	r.text = append(slices.Clip(r.text), events...)
	r.Log, r.rows = realviewer.ParseLog(r.text).Ended(), nil
}

// metric is a part of a metric: float64, *big.Int, string, bool or nil.
func (r *Run) metric(name, part string) any {
	var count int
	var first, last int64
	var lastValue any
	low, high := math.Inf(1), math.Inf(-1)
	hasRange := false
	if r.rows == nil {
		r.rows = r.Log.Merged()
	}
	for _, row := range r.rows {
		cell, ok := row.Cells[name]
		if !ok || cell.Value.Kind == realviewer.KindNull || r.IsTable && !r.isInTable(name, cell.Value) {
			continue
		}
		if count++; count == 1 {
			first = row.Step
		}
		last, lastValue = row.Step, valueOf(cell.Value)
		if n := cell.Value.Number; cell.Value.Kind == realviewer.KindNumber && n-n == 0 {
			low, high, hasRange = min(low, n), max(high, n), true
		}
	}
	switch {
	case count == 0:
		return nil
	case part == "last":
		return lastValue
	case part == "count":
		return float64(count)
	case part == "first_step":
		return float64(first)
	case part == "last_step":
		return float64(last)
	case !hasRange:
		return nil
	case part == "min":
		return low
	}
	return high
}

func (r *Run) isInTable(name string, v realviewer.Value) bool {
	return realviewer.InTable(name) && (v.Kind != realviewer.KindNumber || v.Number-v.Number == 0)
}

func valueOf(v realviewer.Value) any {
	switch v.Kind {
	case realviewer.KindText:
		return v.Text
	case realviewer.KindBoolean:
		return v.Number != 0
	}
	if n, ok := new(big.Int).SetString(v.Text, 10); ok && n.IsInt64() {
		return n
	}
	return v.Number
}

// compareValues orders two values; ok is false if they cannot be compared.
func compareValues(a, b any) (order int, ok bool) {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return strings.Compare(a, b), ok
	case bool:
		b, ok := b.(bool)
		switch {
		case a == b:
			return 0, ok
		case a:
			return 1, ok
		}
		return -1, ok
	}
	x, okA := numberOf(a)
	y, okB := numberOf(b)
	if !okA || !okB {
		return 0, false
	}
	return x.Cmp(y), true
}

// numberOf is a number without rounding; NaN is none.
func numberOf(v any) (*big.Float, bool) {
	switch v := v.(type) {
	case *big.Int:
		return new(big.Float).SetPrec(200).SetInt(v), true
	case float64:
		if math.IsNaN(v) {
			return nil, false
		}
		return new(big.Float).SetPrec(200).SetFloat64(v), true
	}
	return nil, false
}

// Term is a filter as text and as a test.
type Term struct {
	Text  string
	Match func(*Run) bool
}

// fieldRef is a field as text and as a getter.
type fieldRef struct {
	text     string
	get      func(*Run) any
	isNumber bool
}

// randomField picks a field of some runs.
func randomField(rng *rand.Rand, names []string) fieldRef {
	switch rng.IntN(8) {
	case 0:
		key := []string{"best", "note", "ok", "nan", "big", "nothing"}[rng.IntN(6)]
		return fieldRef{"summary." + key, func(r *Run) any { return r.Summary[key] }, false}
	case 1:
		key := []string{"lr", "model.depth", "name", "missing"}[rng.IntN(4)]
		return fieldRef{"config." + key, func(r *Run) any { return r.Config[key] }, false}
	}
	name := names[rng.IntN(len(names))]
	part := []string{"last", "min", "max", "count", "first_step", "last_step"}[rng.IntN(6)]
	return fieldRef{
		"metrics." + filter.Quote(name) + "." + part,
		func(r *Run) any { return r.metric(name, part) }, part != "last",
	}
}

// RandomTerm makes a filter of at most so many levels.
func RandomTerm(rng *rand.Rand, names []string, depth int) Term {
	switch n := rng.IntN(6); {
	case depth > 0 && n == 0:
		inner := RandomTerm(rng, names, depth-1)
		return Term{"NOT (" + inner.Text + ")", func(r *Run) bool { return !inner.Match(r) }}
	case depth > 0 && n <= 2:
		a, b := RandomTerm(rng, names, depth-1), RandomTerm(rng, names, depth-1)
		return Term{"(" + a.Text + ") AND (" + b.Text + ")", func(r *Run) bool { return a.Match(r) && b.Match(r) }}
	case depth > 0 && n <= 4:
		a, b := RandomTerm(rng, names, depth-1), RandomTerm(rng, names, depth-1)
		return Term{"(" + a.Text + ") OR (" + b.Text + ")", func(r *Run) bool { return a.Match(r) || b.Match(r) }}
	}
	f := randomField(rng, names)
	if rng.IntN(6) == 0 {
		return Term{f.text + ":*", func(r *Run) bool { return f.get(r) != nil }}
	}
	op := []string{"=", "!=", "<", "<=", ">", ">="}[rng.IntN(6)]
	text, want := randomLiteral(rng, f.isNumber)
	if _, ok := want.(bool); ok {
		op = []string{"=", "!="}[rng.IntN(2)]
	}
	return Term{f.text + " " + op + " " + text, func(r *Run) bool {
		order, ok := compareValues(f.get(r), want)
		return ok && map[string]bool{"=": order == 0, "!=": order != 0, "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[op]
	}}
}

func randomLiteral(rng *rand.Rand, isNumber bool) (text string, value any) {
	switch n := rng.IntN(8); {
	case n == 0:
		return "1152921504606846977", big.NewInt(1<<60 + 1)
	case n == 1 && !isNumber:
		return "true", true
	case n == 2 && !isNumber:
		return `"warmup"`, "warmup"
	case n == 3:
		return "Inf", math.Inf(1)
	case n == 4:
		k := rng.IntN(20) - 5
		return strconv.Itoa(k), big.NewInt(int64(k))
	}
	f := math.Round(rng.NormFloat64()*300) / 100
	return strconv.FormatFloat(f, 'g', -1, 64), f
}

// RandomOrder is an order of one or two fields, as text and as a comparison.
func RandomOrder(rng *rand.Rand, names []string) (text string, compare func(a, b *Run) int) {
	type key struct {
		fieldRef
		desc bool
	}
	keys := make([]key, 1+rng.IntN(2))
	var texts []string
	for i := range keys {
		keys[i] = key{randomField(rng, names), rng.IntN(2) == 0}
		texts = append(texts, keys[i].text+map[bool]string{true: " desc", false: ""}[keys[i].desc])
	}
	return strings.Join(texts, ", "), func(a, b *Run) int {
		for _, k := range keys {
			x, y := k.get(a), k.get(b)
			order := cmp.Compare(classOf(x), classOf(y))
			if classOf(x) < 9 && classOf(y) < 9 {
				if o, ok := compareValues(x, y); ok {
					order = o
				}
				if k.desc {
					order = -order
				}
			}
			if order != 0 {
				return order
			}
		}
		return strings.Compare(a.ID, b.ID)
	}
}

// classOf orders values of different kinds; those without a place come last.
func classOf(v any) int {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) {
			return 9
		}
		return 1
	case *big.Int:
		return 1
	case string:
		return 2
	case bool:
		return 3
	}
	return 9
}

// Names are names of metrics that are hard to write.
var Names = []string{"loss", "train/loss", "val acc", "a.b.c", `say "x"`, "über", "stage", "epoch", "flag", "mixed", "never"}

// RandomLog writes an event file as the SDKs do: mostly ascending, with rewritten and late
// steps, and with everything that a value can be.
func RandomLog(rng *rand.Rand) []byte {
	var b strings.Builder
	rows, step := rng.IntN(60), 0
	ordered := rng.IntN(3) > 0
	for row := range rows {
		if step += rng.IntN(3); !ordered && rng.IntN(8) == 0 {
			step = rng.IntN(step + 1)
		}
		fmt.Fprintf(&b, `{"ts": %d.5, "type": "metrics", "data": {"global_step": %d, "time": %d.25`, 1700000000+row, step, 1700000000+row)
		for _, name := range Names[:len(Names)-1] {
			if rng.IntN(3) > 0 {
				fmt.Fprintf(&b, ", %q: %s", name, randomCell(rng, name))
			}
		}
		b.WriteString("}}\n")
	}
	if rng.IntN(4) == 0 {
		b.WriteString(`{"ts": 1, "type": "metrics", "data": {"global_step": 900, "loss": 0.5}}`) // no newline
	}
	return []byte(b.String())
}

func randomCell(rng *rand.Rand, name string) string {
	number := strconv.FormatFloat(math.Round(rng.NormFloat64()*300)/100, 'g', -1, 64)
	switch name {
	case "stage":
		return []string{`"warmup"`, `"train"`}[rng.IntN(2)]
	case "flag":
		return []string{"true", "false"}[rng.IntN(2)]
	case "mixed":
		return []string{number, `"text"`, "true", "null", "1152921504606846977"}[rng.IntN(5)]
	}
	switch rng.IntN(12) {
	case 0:
		return "NaN"
	case 1:
		return []string{"Infinity", "-Infinity"}[rng.IntN(2)]
	case 2:
		return "1152921504606846977"
	case 3:
		return strconv.Itoa(rng.IntN(9))
	}
	return number
}

// Expect returns the ids of the runs that a filter selects, in an order.
func Expect(runs []*Run, match func(*Run) bool, compare func(a, b *Run) int) []string {
	selected := slices.Clone(runs)
	selected = slices.DeleteFunc(selected, func(r *Run) bool { return !match(r) })
	slices.SortStableFunc(selected, compare)
	ids := make([]string, len(selected))
	for i, r := range selected {
		ids[i] = r.ID
	}
	return ids
}
