// Package searchtest generates random filters and orders for tests, and computes their
// expected results with an oracle: a slow and simple Python program that reads the files of
// the runs. The oracle shares no code with the search index, package filter and the readers
// of event files, except for the quoting of names.
package searchtest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/runicorn-grpc/runicorn-grpc/internal/filter"
)

// Term is a filter, as text and in the form for the oracle.
type Term struct {
	Text string
	tree []any
}

// Order is an order, as text and in the form for the oracle.
type Order struct {
	Text string
	keys []any
}

// ByID orders runs by their ids only.
func ByID() Order { return Order{Text: "run_id", keys: []any{}} }

// field is a field, as text and in the form for the oracle.
type field struct {
	text     string
	path     []any
	isNumber bool
}

// randomField returns a field that some of the runs have.
func randomField(rng *rand.Rand, names []string) field {
	switch rng.IntN(8) {
	case 0:
		key := []string{"best", "note", "ok", "nan", "big", "nothing"}[rng.IntN(6)]
		return field{"summary." + key, []any{"summary", key}, false}
	case 1:
		key := []string{"lr", "model.depth", "name", "missing"}[rng.IntN(4)]
		path := []any{"config"}
		for step := range strings.SplitSeq(key, ".") {
			path = append(path, step)
		}
		return field{"config." + key, path, false}
	}
	name := names[rng.IntN(len(names))]
	part := []string{"last", "min", "max", "count", "first_step", "last_step"}[rng.IntN(6)]
	return field{"metrics." + filter.Quote(name) + "." + part, []any{"metrics", name, part}, part != "last"}
}

// RandomTerm returns a filter with at most depth levels of operators.
func RandomTerm(rng *rand.Rand, names []string, depth int) Term {
	switch n := rng.IntN(6); {
	case depth > 0 && n == 0:
		inner := RandomTerm(rng, names, depth-1)
		return Term{"NOT (" + inner.Text + ")", []any{"not", inner.tree}}
	case depth > 0 && n <= 2:
		a, b := RandomTerm(rng, names, depth-1), RandomTerm(rng, names, depth-1)
		return Term{"(" + a.Text + ") AND (" + b.Text + ")", []any{"and", a.tree, b.tree}}
	case depth > 0 && n <= 4:
		a, b := RandomTerm(rng, names, depth-1), RandomTerm(rng, names, depth-1)
		return Term{"(" + a.Text + ") OR (" + b.Text + ")", []any{"or", a.tree, b.tree}}
	}
	f := randomField(rng, names)
	if rng.IntN(6) == 0 {
		return Term{f.text + ":*", []any{"has", f.path}}
	}
	text, literal := randomLiteral(rng, f.isNumber)
	op := []string{"=", "!=", "<", "<=", ">", ">="}[rng.IntN(6)]
	if literal[0] == "boolean" {
		op = []string{"=", "!="}[rng.IntN(2)]
	}
	return Term{f.text + " " + op + " " + text, []any{"compare", f.path, op, literal}}
}

func randomLiteral(rng *rand.Rand, isNumber bool) (text string, literal []any) {
	text = strconv.FormatFloat(math.Round(rng.NormFloat64()*300)/100, 'g', -1, 64)
	switch n := rng.IntN(8); {
	case n == 0:
		text = "1152921504606846977" // 2^60+1
	case n == 1 && !isNumber:
		return "true", []any{"boolean", true}
	case n == 2 && !isNumber:
		return `"warmup"`, []any{"text", "warmup"}
	case n == 3:
		text = "Inf"
	case n == 4:
		text = strconv.Itoa(rng.IntN(20) - 5)
	}
	return text, []any{"number", text}
}

// RandomOrder returns an order of one or two fields.
func RandomOrder(rng *rand.Rand, names []string) Order {
	var texts []string
	var keys []any
	for range 1 + rng.IntN(2) {
		f, desc := randomField(rng, names), rng.IntN(2) == 0
		texts = append(texts, f.text+map[bool]string{true: " desc", false: ""}[desc])
		keys = append(keys, []any{f.path, desc})
	}
	return Order{strings.Join(texts, ", "), keys}
}

// Names are metric names, most of which need quoting or have special values; the last one
// never occurs.
var Names = []string{"loss", "train/loss", "val acc", "a.b.c", `say "x"`, "über", "stage", "epoch", "flag", "mixed", "never"}

// RandomLog returns an event file as the SDKs write it: steps mostly ascend, some are
// repeated or out of order, and all kinds of values occur.
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
